"""The explorers' mathematics, in a real browser, against torch; and what the Python side promises."""

import base64
import json
import re
from importlib.resources import files

import numpy as np
import pytest
import torch
from torch.func import grad

import l2l
from l2l import explorer
from l2l.net import flatten, unflatten
from l2l.tasks import HELD_OUT, META_TEST, TRAIN, stream

SIZES = (1, 40, 40, 1)
METHODS = ("maml", "fomaml", "pretrain")


def script(*names):
    return "".join((files("l2l") / "js" / name).read_text(encoding="utf-8") for name in names)


@pytest.fixture(scope="module")
def tab(browser):
    context = browser.new_context()
    tab = context.new_page()
    tab.add_script_tag(content=script("net.js", "random.js", "worker.js"))
    yield tab
    context.close()


def parameters(theta):
    return {"sizes": SIZES, "values": flatten(theta).tolist()}


def task_lists(batch):
    return [
        {part: {axis: getattr(batch, f"{axis}_{part}")[i, :, 0].tolist() for axis in "xy"}
         for part in ("support", "query")}
        for i in range(len(batch.amplitude))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def networks():
    """The networks that the page shows, in double precision: every method, untrained and after meta-training."""
    runs = explorer.shipped_runs()
    double = {m: {n: p[0].double() for n, p in run.theta.items()} for m, run in runs.items()}
    return double | {"untrained": {n: p[0].double() for n, p in runs["maml"].checkpoints[0].items()}}


def test_predictions_after_every_step_are_torchs(tab, networks):
    generator = torch.Generator().manual_seed(20)
    batch = l2l.SineTasks().sample(200, 7, 9, generator=generator, dtype=torch.float64)
    tab.evaluate("tasks => { window.tasks = tasks; }", task_lists(batch))
    for name, theta in networks.items():
        found = tab.evaluate(
            """theta => tasks.map(({support, query}) =>
                 adapt(theta, support, 0.01, 50).map(phi => [...outputs(phi, query.x)]))""",
            parameters(theta),
        )
        found, phi = torch.tensor(found, dtype=torch.float64), {n: p.expand(200, *p.shape) for n, p in theta.items()}
        calm = torch.ones(200, dtype=torch.bool)  # steps that grow blow up last bits as well
        for k in range(51):
            expected = torch.func.vmap(l2l.mlp)(phi, batch.x_query)[..., 0]
            loss = torch.func.vmap(l2l.mse)(phi, batch.x_support, batch.y_support)
            calm &= loss < 300
            assert (found[calm, k] - expected[calm]).abs().max() < 1e-4, (name, k)
            g = torch.func.vmap(grad(l2l.mse))(phi, batch.x_support, batch.y_support)
            phi = {n: p - 0.01 * g[n] for n, p in phi.items()}
        assert calm.sum() >= 190, name


def test_sweep_equals_the_plain_outputs(tab, networks):
    x = sorted([*np.linspace(-5, 5, 101).tolist(), 0.0, 0.0])
    worst = tab.evaluate(
        """([thetas, x]) => Math.max(...thetas.map(theta => {
             const slow = outputs(theta, x);
             return Math.max(...sweep(theta, x).map((v, i) => Math.abs(v - slow[i])));
           }))""",
        [[parameters(theta) for theta in networks.values()], x],
    )
    assert worst < 1e-12
    dead = {"sizes": (1, 2, 2, 1), "values": [1.0, 0, 5, 3, 1, 1, -1, 1, 0, 0, 1, 1, 0.5]}  # switches at -5, or never
    swept, slow = (
        tab.evaluate(f"([theta, x]) => [...{f}(theta, x)]", [dead, [-5, 0, 5]]) for f in ("sweep", "outputs")
    )
    assert swept == pytest.approx(slow, abs=1e-14)
    deeper = {"sizes": (1, 3, 3, 3, 1), "values": np.linspace(-1, 1, 34).tolist()}
    swept, slow = (tab.evaluate(f"([theta, x]) => [...{f}(theta, x)]", [deeper, x]) for f in ("sweep", "outputs"))
    assert swept == slow


@pytest.mark.parametrize("K", [1, 2, 5])
@pytest.mark.parametrize("method", METHODS)
def test_meta_gradients_are_the_librarys(tab, networks, method, K):
    batch = l2l.SineTasks().sample(6, 8, 11, generator=torch.Generator().manual_seed(K), dtype=torch.float64)
    for theta in (networks["untrained"], networks["fomaml"]):
        found = tab.evaluate(
            """([method, theta, batch, K]) => {
                 const {grad, loss} = batchGradient(method, theta, batch, 0.01, K);
                 return {grad: [...grad], loss};
               }""",
            [method, parameters(theta), task_lists(batch), K],
        )
        expected = l2l.METHODS[method](theta, batch, alpha=0.01, steps=K)
        exact = flatten(expected.grads)
        assert (torch.tensor(found["grad"], dtype=torch.float64) - exact).norm() < 1e-8 * exact.norm()
        assert found["loss"] == pytest.approx(expected.loss.item(), rel=1e-10)


def test_a_net_of_another_depth_and_odd_widths(tab):
    """Products take four columns at a time: here widths leave one, two and three over."""
    sizes = (1, 5, 6, 7, 1)
    theta = l2l.init_params(sizes, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    batch = l2l.SineTasks().sample(3, 4, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = tab.evaluate(
        "([theta, batch]) => [...batchGradient('maml', theta, batch, 0.02, 3).grad]",
        [{"sizes": sizes, "values": flatten(theta).tolist()}, task_lists(batch)],
    )
    exact = flatten(l2l.maml(theta, batch, alpha=0.02, steps=3).grads)
    assert (torch.tensor(found, dtype=torch.float64) - exact).norm() < 1e-10 * exact.norm()


def test_a_seed_in_the_page_is_that_seed_in_the_library(tab):
    for seed in (0, 7, 123456):
        found = tab.evaluate("([sizes, seed]) => [...initialParameters(sizes, seed).values]", [SIZES, seed])
        assert found == flatten(l2l.init_params(SIZES, generator=torch.Generator().manual_seed(seed))).tolist()
        generator = stream(TRAIN, seed)
        family = l2l.SineTasks(amplitude=(1.0, 3.0))
        sent = [generator.initial_seed(), {"tasks": 40, "shots": 6, "query": 5},
                {"amplitude": family.amplitude, "phase": family.phase, "x_range": family.x_range}]  # fmt: skip
        tasks = tab.evaluate("([seed, batch, family]) => sampleTasks(new Generator(seed), batch, family)", sent)
        batch = family.sample(40, 6, 5, generator=generator, dtype=torch.float64)
        for task, expected in zip(tasks, task_lists(batch), strict=True):
            for part in ("support", "query"):
                assert task[part]["x"] == expected[part]["x"]
                assert task[part]["y"] == pytest.approx(expected[part]["y"], abs=1e-14)


def test_meta_training_goes_as_in_the_library(tab):
    """300 iterations from the same seed and data: the same loss, gradient norm and query error after adaptation."""
    settings = {
        "sizes": SIZES, "methods": METHODS, "seed": 4, "tasks": 25, "shots": 10, "query": 10, "alpha": 0.01, "steps": 1,
        "beta": 1e-3, "family": {"amplitude": [0.1, 5.0], "phase": list(l2l.SineTasks().phase), "x_range": [-5.0, 5.0]},
        "train": stream(TRAIN, 4).initial_seed(), "heldOut": stream(HELD_OUT, 0).initial_seed(), "heldOutTasks": 200,
        "metaTest": stream(META_TEST, 0).initial_seed(), "testTasks": 50,
    }  # fmt: skip
    found = tab.evaluate(
        """settings => {
             const training = begin(settings);
             for (; training.iteration < 300; training.iteration++) update(training);
             measure(training);
             const found = ([method, {history, curve}]) => [method, [history.norm, curve]];
             return Object.fromEntries(Object.entries(training.learners).map(found));
           }""",
        settings,
    )
    test = l2l.SineTasks().sample(50, 10, 100, generator=stream(META_TEST, 0))
    for method in METHODS:
        config = l2l.TrainConfig(method=method, iterations=300, seeds=(4,))
        run = l2l.train(config, progress=False)
        curve = l2l.adaptation_curve(run.replica(0), test, alpha=0.01, steps=10).query.mean(-1)
        start = l2l.adaptation_curve(first_parameters(4), test, alpha=0.01, steps=10).query.mean(-1)
        assert curve[-1] < 0.97 * start[-1]  # it did learn
        norm, error = found[method]
        assert norm[0] == pytest.approx(run.history["initial_gradient_norm"][-1, 0].item(), rel=5e-3)
        assert error == pytest.approx(curve.tolist(), rel=5e-3)


def first_parameters(seed):
    return l2l.init_params(SIZES, generator=torch.Generator().manual_seed(seed))


def test_the_diverging_preset_diverges_for_maml_alone(networks):
    preset = next(p for p in explorer.PRESETS if "diverges" in p["name"])
    x = torch.tensor(preset["x"], dtype=torch.float64)[:, None]
    axis = torch.linspace(-5, 5, 101, dtype=torch.float64)[:, None]

    def truth(x):
        return preset["A"] * torch.sin(x + preset["b"])

    error = {m: l2l.mse(l2l.adapt(networks[m], x, truth(x), alpha=0.01, steps=20), axis, truth(axis)) for m in METHODS}
    assert error["maml"] > 1e6
    assert max(error["fomaml"], error["pretrain"]) < 50


def test_an_explorer_of_ones_own_runs():
    config = l2l.TrainConfig(iterations=3, checkpoint_at=(0, 2), sizes=(1, 8, 8, 1))
    run = l2l.train(config, progress=False)
    shown = explorer.adapt({"maml": run})
    settings = json.loads(re.search(r"buildAdapt\(root, panel, (\{.*\})\)\);\n\}\)\(\);", shown.html)[1])
    assert settings["iterations"] == [0, 2, 3]
    assert set(settings["weights"]) == {"untrained", "maml"}
    values = np.frombuffer(base64.b64decode(settings["weights"]["maml"]["3"]), "<f4")
    assert (values == flatten(run.replica(0)).numpy()).all()
    assert "object at" not in repr(shown)
    assert shown._repr_html_() == shown.html


def test_runs_that_do_not_fit_are_refused():
    quick = {"iterations": 2, "sizes": (1, 4, 4, 1)}
    run = l2l.train(l2l.TrainConfig(**quick, checkpoint_at=(0,)), progress=False)
    with pytest.raises(ValueError, match="methods such as"):
        explorer.adapt({})
    with pytest.raises(ValueError, match="methods such as"):
        explorer.adapt({"mamml": run})
    with pytest.raises(ValueError, match="keep their start"):
        explorer.adapt({"maml": l2l.train(l2l.TrainConfig(**quick), progress=False)})
    other = l2l.train(l2l.TrainConfig(**quick, seeds=(1,), checkpoint_at=(0,), method="fomaml"), progress=False)
    with pytest.raises(ValueError, match="same parameters"):
        explorer.adapt({"maml": run, "fomaml": other})


def test_shipped_runs_say_what_they_are():
    for method, run in explorer.shipped_runs().items():
        assert run.config == l2l.TrainConfig(
            method=method, iterations=70_000, log_every=1_000, checkpoint_at=run.config.checkpoint_at
        )
        assert set(run.checkpoints) == {0, 100, 500, 1_000, 2_000, 5_000, 15_000, 70_000}
        assert torch.equal(flatten(run.replica(0)), flatten(unflatten(flatten(run.checkpoints[70_000])[0], SIZES)))
