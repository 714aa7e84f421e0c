"""The explorers' mathematics in Node: torch's numbers are written to a folder, and `tests/js` compares with them."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import relatives
import torch
from torch.func import grad, jacrev, vjp, vmap

import l2l
from l2l import explorer
from l2l.bayes import posterior, predicted
from l2l.check.golden import GOLDEN
from l2l.explorer import _assemble
from l2l.explorer._page import SCRIPTS, joined, shipped_runs
from l2l.net import flatten, unflatten
from l2l.tasks import HELD_OUT, META_TEST, TRAIN, stream

NODE = shutil.which("node")
JS = Path(__file__).parent / "js"
SIZES = (1, 40, 40, 1)
METHODS = ("maml", "fomaml", "pretrain")
KINDS = [path.parent.name for path in SCRIPTS.glob("*/main.js")]
PATIENCE = 600
"""Seconds that Node may take. It ends a wait for what never comes, and is no verdict on speed."""

pytestmark = pytest.mark.skipif(NODE is None, reason="no Node here")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_network(*sizes):
    return l2l.init_params(sizes, generator=seeded(3), dtype=torch.float64)


def shown_networks():
    """The networks that the pages show, in double precision: every method, untrained and after meta-training."""
    runs = shipped_runs()
    double = {m: {n: p[0].double() for n, p in run.theta.items()} for m, run in runs.items()}
    return double | {"untrained": {n: p[0].double() for n, p in runs["maml"].checkpoints[0].items()}}


def sent_network(theta):
    """Return parameters as the modules have them."""
    widths = [bias.shape[-1] for name, bias in theta.items() if name.startswith("b")]
    return {"sizes": [theta["W1"].shape[0], *widths], "values": flatten(theta).tolist()}


def sent_points(x, y):
    return {"x": x[:, 0].tolist(), "y": y[:, 0].tolist()}


def sent_tasks(batch):
    parts = {part: (getattr(batch, f"x_{part}"), getattr(batch, f"y_{part}")) for part in ("support", "query")}
    return [{part: sent_points(x[i], y[i]) for part, (x, y) in parts.items()} for i in range(len(batch.amplitude))]


def net():
    """Widths of 5, 6 and 7 leave one, two and three over where products take four columns at a time."""
    thetas = shown_networks()
    thetas |= {f"widths {sizes}": random_network(*sizes) for sizes in ((1, 5, 6, 7, 1), (1, 3, 1), (1, 2, 9, 1))}
    lines = {"W1": [[1, 0]], "b1": [5, 3], "W2": [[1, 1], [-1, 1]], "b2": [0, 0], "W3": [[1], [1]], "b3": [0.5]}
    thetas["units that switch at the first x, or never"] = {
        name: torch.tensor(value, dtype=torch.float64) for name, value in lines.items()
    }
    task = l2l.SineTasks().sample(1, 9, 1, generator=seeded(1), dtype=torch.float64)
    x, y = task.x_support[0], task.y_support[0]
    grid = torch.tensor(sorted([*np.linspace(-5, 5, 101), 0.0, 0.0]), dtype=torch.float64)[:, None]

    def known(name, theta):
        def slope(theta):
            return grad(l2l.mse)(theta, x, y)

        along = {n: torch.randn(p.shape, generator=seeded(2), dtype=p.dtype) for n, p in theta.items()}
        return {
            "name": name,
            "theta": sent_network(theta),
            "predictions": l2l.mlp(theta, x)[:, 0].tolist(),
            "loss": l2l.mse(theta, x, y).item(),
            "grad": flatten(slope(theta)).tolist(),
            "along": flatten(along).tolist(),
            "hvp": flatten(vjp(slope, theta)[1](along)[0]).tolist(),  # the Hessian is symmetric
            "onGrid": l2l.mlp(theta, grid)[:, 0].tolist(),
        }

    networks = [known(name, theta) for name, theta in thetas.items()]
    return {"networks": networks, "task": sent_points(x, y), "grid": grid[:, 0].tolist()}


def methods():
    return {"paths": adaptation_paths(), "gradients": meta_gradients()}


def adaptation_paths(alpha=0.01, steps=50):
    """200 tasks for each network that the pages show, but for those where steps that grow blow up last bits as well."""
    batch = l2l.SineTasks().sample(200, 7, 9, generator=seeded(20), dtype=torch.float64)
    tasks, paths = sent_tasks(batch), []
    for name, theta in shown_networks().items():
        phi, predictions, losses = {n: p.expand(200, *p.shape) for n, p in theta.items()}, [], []
        for _ in range(steps + 1):
            predictions.append(vmap(l2l.mlp)(phi, batch.x_query)[..., 0])
            losses.append(vmap(l2l.mse)(phi, batch.x_support, batch.y_support))
            g = vmap(grad(l2l.mse))(phi, batch.x_support, batch.y_support)
            phi = {n: p - alpha * g[n] for n, p in phi.items()}
        predictions, losses = torch.stack(predictions, 1), torch.stack(losses, 1)  # [T, steps+1, points], [T, steps+1]
        calm = (losses < 300).all(1).nonzero()[:, 0].tolist()
        assert len(calm) >= 190, name
        known = [
            {
                "support": tasks[i]["support"],
                "x": tasks[i]["query"]["x"],
                "predictions": predictions[i].tolist(),
                "losses": losses[i, :-1].tolist(),
            }
            for i in calm
        ]
        paths.append({"name": name, "theta": sent_network(theta), "alpha": alpha, "tasks": known})
    return paths


def relatives_of(theta):
    """Reptile, ANIL and Meta-SGD: their meta-gradients, and the parameters' inner rates as the modules have them."""
    head = [n for n in theta if n.endswith(str(len(theta) // 2))]

    def anil(theta, batch, **settings):
        return relatives.adapting("anil", *head)(theta, batch, **settings)

    def meta_sgd(theta, batch, **settings):
        """The derivative by the rates, too, of rates that differ."""
        loss, grads = relatives.META_SGD(theta | rates_of(theta), batch, **settings)
        by_log = {n: grads.pop(f"log_rate.{n}") for n in theta}
        return loss, grads, {n: g / rates_of(theta)[f"log_rate.{n}"].exp() for n, g in by_log.items()}

    return {"reptile": relatives.reptile, "anil": anil, "meta-sgd": meta_sgd}


def rates_of(theta):
    return {f"log_rate.{n}": torch.randn(p.shape, generator=seeded(7), dtype=p.dtype) / 2 - 5 for n, p in theta.items()}


def meta_gradients():
    shown, found = shown_networks(), []
    cases = [("untrained", shown["untrained"], 0.01, steps) for steps in (1, 2, 5)]
    cases += [("fomaml's network", shown["fomaml"], 0.01, steps) for steps in (1, 2, 5)]
    cases += [("widths 1, 5, 6, 7, 1", random_network(1, 5, 6, 7, 1), 0.02, 3)]
    for name, theta, alpha, steps in cases:
        batch = l2l.SineTasks().sample(6, 8, 11, generator=seeded(steps), dtype=torch.float64)
        sent = {"name": name, "theta": sent_network(theta), "batch": sent_tasks(batch), "alpha": alpha, "steps": steps}
        for method, meta_grad in (l2l.METHODS | relatives_of(theta)).items():
            loss, grads, *by_rates = meta_grad(theta, batch, alpha=alpha, steps=steps, loss=l2l.mse)
            one = {"method": method, "grad": flatten(grads).tolist(), "loss": loss.item()}
            if by_rates:
                rates = {n.removeprefix("log_rate."): p.exp() for n, p in rates_of(theta).items()}
                one |= {"rates": flatten(rates).tolist(), "byRates": flatten(by_rates[0]).tolist()}
            found.append(sent | one)
    return found


def adam():
    """Gradients from 1e-8 to 10 in size, and zeros: ε and both means have their say."""
    start = torch.randn(30, generator=seeded(5), dtype=torch.float64)
    grads = torch.randn(300, 30, generator=seeded(6), dtype=torch.float64) * torch.logspace(-8, 1, 30)
    grads[50:60] = 0
    theta = start.clone().requires_grad_()
    optimizer, after = torch.optim.Adam([theta], lr=1e-3), []
    for theta.grad in grads:
        optimizer.step()
        after.append(theta.tolist())
    return {"start": start.tolist(), "grads": grads.tolist(), "rate": 1e-3, "after": after}


def random():
    """The bits are also NumPy's, whose Mersenne Twister is another program; normal numbers are Box and Muller's."""
    seeds, streams = (0, 7, 123_456, 2**32 - 1), []
    for seed in seeds:
        uniform = torch.rand(4_000, generator=seeded(seed), dtype=torch.float64)
        radius, angle = (-2 * torch.log(1 - uniform[::2])).sqrt(), 2 * torch.pi * uniform[1::2]
        bits = np.random.RandomState(seed).bytes(4 * 2_000)
        streams.append(
            {
                "seed": seed,
                "bits": np.frombuffer(bits, "<u4").tolist(),
                "single": torch.rand(2_000, generator=seeded(seed)).tolist(),
                "double": uniform.tolist(),
                "normal": (radius * torch.cos(angle)).tolist(),
            }
        )
    starts = [
        {"seed": seed, "sizes": sizes, "values": flatten(l2l.init_params(sizes, generator=seeded(seed))).tolist()}
        for seed in seeds
        for sizes in (SIZES, (1, 3, 5, 1))
    ]
    family = l2l.SineTasks(amplitude=(1.0, 3.0), x_range=(-2.0, 6.0))
    samples = [
        {
            "seed": stream(TRAIN, seed).initial_seed(),
            "size": {"tasks": 40, "shots": 6, "query": 5},
            "family": {"amplitude": family.amplitude, "phase": family.phase, "x_range": family.x_range},
            "tasks": sent_tasks(family.sample(40, 6, 5, generator=stream(TRAIN, seed), dtype=torch.float64)),
        }
        for seed in (0, 7, 123_456)
    ]
    return {"streams": streams, "starts": starts, "samples": samples}


def training(seed=4, moments=(100, 300)):
    """The same first parameters and data as runs of the library, and what is measured of them at some moments."""
    config = l2l.TrainConfig(iterations=moments[-1], log_every=100, checkpoint_at=moments, seeds=(seed,))
    family = l2l.SineTasks()
    names = ("sizes", "alpha", "steps", "tasks", "shots", "query", "beta")
    settings = {name: getattr(config, name) for name in names} | {
        "seed": seed,
        "family": {"amplitude": family.amplitude, "phase": family.phase, "x_range": family.x_range},
        "train": stream(TRAIN, seed).initial_seed(),
        "heldOut": stream(HELD_OUT, 0).initial_seed(),
        "heldOutTasks": 200,
        "metaTest": stream(META_TEST, 0).initial_seed(),
        "testTasks": 50,
    }
    test, expected = family.sample(50, 10, 100, generator=stream(META_TEST, 0)), []
    start = l2l.init_params(SIZES, generator=seeded(seed))
    untrained = l2l.adaptation_curve(start, test, alpha=config.alpha, steps=10).query.mean(-1)
    own = {"reptile": relatives.REPTILE, "anil": relatives.HEAD, "meta-sgd": relatives.META_SGD}
    for name in (*METHODS, *own):
        method = own.get(name, name)
        run = l2l.train(replace(config, method=method), progress=False)
        for moment in moments:
            theta = {n: p[0] for n, p in (run.checkpoints | {run.iteration: run.theta})[moment].items()}
            curve = l2l.adaptation_curve(theta, test, alpha=config.alpha, steps=10, method=method).query.mean(-1)
            assert curve[-1] < 0.99 * untrained[-1]  # it did learn
            norm = run.history["initial_gradient_norm"][run.history["iteration"].tolist().index(moment), 0].item()
            expected.append({"method": name, "moment": moment, "norm": norm, "curve": curve.tolist()})
    return {"settings": settings, "expected": expected}


# Line 10, by differentiating a program that is written here.


def scene(tasks, theta, alpha, steps, bend):
    tasks = [dict(zip("cha", task, strict=True)) for task in tasks]
    return {"tasks": tasks, "theta": theta, "alpha": alpha, "steps": steps, "bend": bend}


SCENES = (
    *({key: preset[key] for key in ("tasks", "theta", "alpha", "steps", "bend")} for preset in explorer.QUADRATICS),
    scene([([0.5], [1.5], 0), ([-1.5], [0.3], 0), ([1.0], [0.9], 0)], [-0.7], 0.7, 3, 0.14),
    scene([([-1.0, 0.5], [0.5, 1.0], 0.3), ([1.0, 1.0], [2.0, 0.25], -0.5)], [1.0, -1.0], 0.3, 1, 0),
    scene(
        [([-1.0, 0.5], [0.5, 1.0], 0.3), ([1.0, 1.0], [2.0, 0.25], -0.5), ([0.2, -1.0], [0.4, 1.1], 2.0)],
        [-1.2, 0.9],
        0.4,
        5,
        0.1,
    ),
    scene([([0.4, -0.3], [1.7, 0.2], 1.0)], [0.9, 1.4], 0.8, 2, 0),  # first-order's W has an eigenvalue below zero
)


def task_loss(task, theta, bend):
    """Σ_j h_j (u_j²/2 + κ u_j⁴/4), with u = R(-a) (θ - c)."""
    c, h, a = (torch.tensor(task[name], dtype=torch.float64) for name in "cha")
    u = theta - c
    if len(u) == 2:
        u = torch.stack([a.cos() * u[0] + a.sin() * u[1], -a.sin() * u[0] + a.cos() * u[1]])
    return (h * (u**2 / 2 + bend * u**4 / 4)).sum()


def inner_path(state, task, theta):
    slope, path = grad(lambda at: task_loss(task, at, state["bend"])), [theta]
    for _ in range(state["steps"]):
        path.append(path[-1] - state["alpha"] * slope(path[-1]))
    return path


def directions(state, theta):
    """The exact direction by differentiating through the inner loop, the others by their definitions."""
    alpha, steps, bend = state["alpha"], state["steps"], state["bend"]
    found = {}
    for task in state["tasks"]:
        at_end = inner_path(state, task, theta)[-1]
        last = grad(lambda at, task=task: task_loss(task, at, bend))(at_end)
        H = jacrev(grad(lambda at, task=task: task_loss(task, at, bend)))(theta)
        frozen = torch.linalg.matrix_power(torch.eye(len(theta), dtype=theta.dtype) - alpha * H, steps)

        def query_loss(start, task=task):
            return task_loss(task, inner_path(state, task, start)[-1], bend)

        parts = {
            "exact": grad(query_loss)(theta),
            "first": last,
            "frozen": frozen @ last,
            "reptile": (theta - at_end) / alpha,
        }
        found = {way: found.get(way, 0) + part / len(state["tasks"]) for way, part in parts.items()}
    return found


def resting_point(state, way, theta):
    """On parabolas a direction is M θ - b; where M is not positive definite, a descent is pushed away."""
    M = jacrev(lambda at: directions(state, at)[way])(theta)
    if torch.linalg.eigvalsh(M).min() < 1e-9:
        return None
    return (theta - torch.linalg.solve(M, directions(state, theta)[way])).tolist()


def line10():
    scenes = []
    for state in SCENES:
        theta, bend = torch.tensor(state["theta"], dtype=torch.float64), state["bend"]
        along = torch.tensor([0.6, -1.1], dtype=torch.float64)[: len(theta)]
        tasks = []
        for task in state["tasks"]:

            def loss(at, task=task, bend=bend):
                return task_loss(task, at, bend)

            known = {"loss": loss(theta), "grad": grad(loss)(theta), "hvp": jacrev(grad(loss))(theta) @ along}
            known["path"] = torch.stack(inner_path(state, task, theta))
            tasks.append({name: value.tolist() for name, value in known.items()})
        found = directions(state, theta)
        rest = {way: None if bend else resting_point(state, way, theta) for way in found}
        found = {way: direction.tolist() for way, direction in found.items()}
        scenes.append({"state": state, "along": along.tolist(), "tasks": tasks, "directions": found, "rest": rest})
    assert {way for s in scenes if not s["state"]["bend"] for way, place in s["rest"].items() if place is None}
    return {"scenes": scenes}


def node(*arguments, **environment):
    command = [NODE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def golden():
    """The golden vectors, as a port to another language finds them in the package."""
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def predictors():
    """The posterior mean of l2l.bayes, and the solver of chapter 1, for tasks of every amplitude."""
    family = l2l.SineTasks(noise=0.1)
    tasks = family.sample(40, 5, 1, generator=seeded(8), dtype=torch.float64)
    axis = torch.linspace(-5, 5, 41, dtype=torch.float64)[:, None]
    found = predicted(posterior(tasks.x_support, tasks.y_support, noise=0.1), axis.expand(40, -1, -1))
    two = [torch.cat([f(tasks.x_support[:, :2]) for f in (torch.sin, torch.cos)], dim=-1), tasks.y_support[:, :2]]
    solved = torch.cat([axis.sin(), axis.cos()], dim=-1) @ torch.linalg.solve(*two)
    return {
        "family": {"amplitude": family.amplitude, "phase": family.phase},
        "axis": axis[:, 0].tolist(),
        "tasks": [sent_points(x, y) for x, y in zip(tasks.x_support, tasks.y_support, strict=True)],
        "bayes": found[..., 0].tolist(),
        "solver": solved[..., 0].tolist(),
    }


def steplength(alpha=0.01):
    """q(m) over tasks, and the eigenvalues of the whole support Hessian of one."""
    theta = shown_networks()["maml"]
    batch = l2l.SineTasks().sample(20, 10, 25, generator=seeded(9), dtype=torch.float64)
    multiples = torch.linspace(0, 3, 31, dtype=torch.float64)

    def by_length(xs, ys, xq, yq):
        slope = grad(l2l.mse)(theta, xs, ys)
        return torch.stack(
            [l2l.mse({n: p - m * alpha * slope[n] for n, p in theta.items()}, xq, yq) for m in multiples]
        )

    vector, x, y = flatten(theta), batch.x_support[0], batch.y_support[0]
    slope = grad(lambda v: l2l.mse(unflatten(v, theta), x, y))
    hessian, g = jacrev(slope)(vector), slope(vector)
    return {
        "theta": sent_network(theta),
        "alpha": alpha,
        "batch": sent_tasks(batch),
        "multiples": multiples.tolist(),
        "q": torch.stack([by_length(*task) for task in zip(*batch[:4], strict=True)]).mean(0).tolist(),
        "sharpness": alpha * torch.linalg.eigvalsh(hessian).abs().max().item(),
        "along": (alpha * g @ hessian @ g / (g @ g)).item(),
    }


def assemble():
    """The problem that the explorer has, and its meta-gradients, exact and first-order."""
    theta, batch, settings = _assemble.problem()
    known = {"theta": sent_network(theta), "batch": sent_tasks(batch), **settings}
    for method in ("maml", "fomaml"):
        known[method] = flatten(l2l.METHODS[method](theta, batch, **settings).grads).tolist()
    return known


FIXTURES = {
    f.__name__: f for f in (net, methods, adam, random, training, line10, golden, predictors, steplength, assemble)
}


def test_every_file_has_its_fixture():
    assert {path.name.removesuffix(".test.mjs") for path in JS.glob("*.test.mjs")} == FIXTURES.keys()


@pytest.mark.parametrize("name", FIXTURES)
def test_node_finds_what_torch_does(name, tmp_path):
    (tmp_path / f"{name}.json").write_text(json.dumps(FIXTURES[name](), allow_nan=False), encoding="utf-8")
    told = node("--test", "--test-reporter=tap", JS / f"{name}.test.mjs", L2L_FIXTURES=str(tmp_path))
    assert "\n# fail 0\n" in told
    assert "\n# skipped 0\n" in told
    assert "\n# pass 0\n" not in told  # something was compared


def test_each_module_finds_what_it_imports():
    imports = [f"import {json.dumps(path.as_uri())};" for path in sorted(SCRIPTS.rglob("*.js"))]
    assert imports
    node("--input-type=module", "--eval", "\n".join(imports))


@pytest.mark.parametrize(
    "entries",
    [("page/mount.js", f"{kind}/main.js") for kind in KINDS] + [("metatrain/worker.js",)],
)
def test_joined_no_two_modules_give_one_name(entries, tmp_path):
    """In one scope a second `function` of a name would silently take the first's place; in a module it is an error."""
    script = tmp_path / "joined.mjs"
    script.write_text(joined(*entries), encoding="utf-8")
    node("--check", script)
