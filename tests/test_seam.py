"""Parts of a reader's own, as the library's page teaches them: trained compiled, resumed, adapted and drawn.

Each of the methods is a few lines, and touches no file of l2l. What they compute is compared with something that shares
no code with them: finite differences, a closed form, a loop by hand, torch's own optimisers.
"""

import os
import re
import signal
import subprocess
import sys
import textwrap
import types
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn
from torch.func import grad, vmap

import l2l
from l2l import plots
from l2l.net import flatten, unflatten


# --------------------------------------------------------------------------------------------------------- methods
def reptile_gradient(theta, batch, *, alpha, steps, loss):
    """(θ - φ)/α, the mean over tasks, each adapted to all of its points."""
    x, y = torch.cat([batch.x_support, batch.x_query], 1), torch.cat([batch.y_support, batch.y_query], 1)

    def task(x, y):
        phi = l2l.adapt(theta, x, y, alpha=alpha, steps=steps, loss=loss)
        return loss(phi, x, y), {name: (theta[name] - phi[name]) / alpha for name in theta}

    losses, ways = vmap(task)(x, y)
    return l2l.MetaGrad(losses.mean(), {name: way.mean(0) for name, way in ways.items()})


reptile = l2l.Method("Reptile", reptile_gradient)


def head_loop(theta, x, y, *, alpha, steps, loss):
    """ANIL: the last layer alone adapts."""
    body, head = ({n: p for n, p in theta.items() if (n in ("W3", "b3")) == last} for last in (False, True))
    heads = l2l.inner_loop(head, x, y, alpha=alpha, steps=steps, loss=lambda head, x, y: loss(body | head, x, y))
    return (body | head for head in heads)


anil = l2l.Method("ANIL", partial(l2l.maml, inner_loop=head_loop), head_loop)


def own_rates(theta, x, y, *, alpha, steps, loss):
    """Meta-SGD: a rate for each parameter, learned as its logarithm, so positive."""
    phi = {n: p for n, p in theta.items() if not n.startswith("log_rate.")}
    yield phi
    for _ in range(steps):
        slope = grad(loss)(phi, x, y)
        phi = {n: p - theta[f"log_rate.{n}"].exp() * slope[n] for n, p in phi.items()}
        yield phi


def with_rates(params, alpha):
    return params | {f"log_rate.{n}": torch.full_like(p, alpha).log() for n, p in params.items()}


meta_sgd = l2l.Method("Meta-SGD", partial(l2l.maml, inner_loop=own_rates), own_rates, with_rates)

STRENGTH = 2.0  # λ of implicit MAML


def proximal_loop(theta, x, y, *, alpha, steps, loss):
    """φ minimises L(φ) + λ/2 ‖φ - θ‖²: gradient descent from θ."""
    phi = theta
    yield phi
    for _ in range(steps):
        slope = grad(loss)(phi, x, y)
        phi = {n: p - alpha * (slope[n] + STRENGTH * (p - theta[n])) for n, p in phi.items()}
        yield phi


def implicit_gradient(theta, batch, *, alpha, steps, loss):
    """(I + H/λ)⁻¹ ∇L^q(φ), the mean over tasks: conjugate gradients solve for it, with products Hv alone."""

    def task(xs, ys, xq, yq):
        phi = flatten(l2l.adapt(theta, xs, ys, alpha=alpha, steps=steps, loss=loss, inner_loop=proximal_loop))
        slope = grad(lambda v: loss(unflatten(v, theta), xs, ys))
        value, g = loss(unflatten(phi, theta), xq, yq), grad(lambda v: loss(unflatten(v, theta), xq, yq))(phi)
        found, left, way = torch.zeros_like(g), g, g
        for _ in range(ROUNDS):
            step = way + torch.func.jvp(slope, (phi,), (way,))[1] / STRENGTH
            size = left @ left / (way @ step + 1e-30)
            found, after = found + size * way, left - size * step
            left, way = after, after + (after @ after) / (left @ left + 1e-30) * way
        return value, unflatten(found, theta)

    values, grads = vmap(task)(*batch[:4])
    return l2l.MetaGrad(values.mean(), {n: g.mean(0) for n, g in grads.items()})


ROUNDS = 4
imaml = l2l.Method("iMAML", implicit_gradient, proximal_loop)


# ------------------------------------------------------------------------------------------------------- families
@dataclass(frozen=True)
class Rotations:
    """2-D regression, two outputs: y = R(a) x, a rotation by a random angle."""

    most: float = 3.0

    def sample(self, tasks, shots, query, *, generator, dtype):
        x = torch.randn(tasks, shots + query, 2, generator=generator, dtype=dtype)
        a = self.most * torch.rand(tasks, 1, generator=generator, dtype=dtype)
        y = torch.stack([a.cos() * x[..., 0] - a.sin() * x[..., 1], a.sin() * x[..., 0] + a.cos() * x[..., 1]], -1)
        return l2l.Batch(x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:])


class Blobs:
    """Few-shot classification, three ways: points about three random centres, labelled 0, 1, 2."""

    def sample(self, tasks, shots, query, *, generator, dtype):
        labels = torch.arange(shots + query).remainder(3).expand(tasks, -1)
        centres = 2 * torch.randn(tasks, 3, 2, generator=generator, dtype=dtype)
        noise = torch.randn(tasks, shots + query, 2, generator=generator, dtype=dtype)
        x = centres.gather(1, labels[..., None].expand(-1, -1, 2)) + 0.5 * noise
        return l2l.Batch(x[:, :shots], labels[:, :shots], x[:, shots:], labels[:, shots:])


# ----------------------------------------------------------------------------------------- networks and optimisers
def tanh_module():
    return nn.Sequential(nn.Linear(1, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 1))


def normalised_module():
    return nn.Sequential(nn.Linear(1, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))


def momentum_update(theta, g, state, rate):
    velocity = 0.9 * state[0] + g
    return theta - rate * velocity, (velocity,)


momentum = l2l.Optimizer("SGD with momentum", lambda theta: (torch.zeros_like(theta),), momentum_update)

QUICK = {"tasks": 4, "shots": 6, "query": 6, "seeds": (0, 3), "log_every": 20}
OWN = {
    "Reptile": ({"method": reptile, "steps": 3}, l2l.SineTasks()),
    "ANIL": ({"method": anil}, l2l.SineTasks()),
    "Meta-SGD": ({"method": meta_sgd, "steps": 2}, l2l.SineTasks()),
    "iMAML": ({"method": imaml, "steps": 4, "alpha": 0.05}, l2l.SineTasks()),
    "two dimensions": ({"network": l2l.MLP((2, 16, 2))}, Rotations(1.5)),
    "classification": ({"network": l2l.MLP((2, 16, 3)), "loss": "cross_entropy", "alpha": 0.1}, Blobs()),
    "a module": ({"network": l2l.from_module(tanh_module)}, l2l.SineTasks()),
    "batch normalisation": (
        {"network": replace(l2l.from_module(normalised_module, batch_norm="batch"), name="normalised")},
        l2l.SineTasks(),
    ),
    "tanh without biases": ({"network": l2l.MLP((1, 9, 1), "tanh", bias=False)}, l2l.SineTasks()),
    "momentum": ({"optimizer": momentum, "beta": 1e-3}, l2l.SineTasks()),
    "a loss of one's own": ({"loss": nn.functional.smooth_l1_loss}, l2l.SineTasks()),
    "a schedule of α": ({"alpha": (0.02, 0.01), "steps": 3}, l2l.SineTasks()),
    "a tensor α": ({"alpha": torch.tensor([0.02, 0.01]), "steps": 2}, l2l.SineTasks()),
}


def passed(config, family):
    """What `Run.load` has to be given."""
    own = {"method": l2l.Method, "network": l2l.Network, "optimizer": l2l.Optimizer}
    parts = {name: getattr(config, name) for name, kind in own.items() if isinstance(getattr(config, name), kind)}
    if not isinstance(config.loss, str):
        parts["loss"] = config.loss
    return parts if isinstance(family, l2l.SineTasks) else parts | {"task_family": family}


def same(one, other):
    assert one.config == other.config
    for ours, theirs in ((one.theta, other.theta), (one.history, other.history)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", OWN)
def test_it_trains_resumes_adapts_and_is_drawn(name, tmp_path):
    settings, family = OWN[name]
    config, out = l2l.TrainConfig(**QUICK | settings, iterations=60), tmp_path / "run.safetensors"
    whole = l2l.train(config, family)
    assert whole.engine == "recorded", "not called in silence"

    class Stop(Exception):
        pass

    def stop(run):
        if run.iteration == 40:
            raise Stop

    with pytest.raises(Stop):
        l2l.train(config, family, progress=stop, out=out)
    same(l2l.train(config, family, out=out, resume=True), whole)
    same(l2l.Run.load(out, **passed(config, family)), whole)
    alone = l2l.train(replace(config, seeds=(3,)), family)
    assert all(torch.equal(p[1], alone.theta[n][0]) for n, p in whole.theta.items()), "replicas are their solo runs"

    batch = family.sample(20, 6, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    method, _, loss, _ = config.parts
    curves = [
        l2l.adaptation_curve(whole.replica(r), batch, alpha=config.alpha, steps=4, loss=loss, method=method).query
        for r in (0, 1)
    ]
    assert curves[0].shape == (5, 20)
    fig, axes = plt.subplots(1, 2)
    plots.plot_adaptation_curves({name: torch.stack(curves, 1), "maml": torch.stack(curves, 1)}, axes[0])
    plots.plot_gradient_norms({name: whole.history}, axes[1])
    assert [ax.get_legend_handles_labels()[1][0] for ax in axes] == [name, name]
    plt.close(fig)


@pytest.mark.parametrize("name", ["Meta-SGD", "iMAML", "classification", "batch normalisation"])
def test_it_is_compiled(name):
    settings, family = OWN[name]
    config = l2l.TrainConfig(**QUICK | settings, iterations=30, dtype="float64")
    ours, replayed = (l2l.train(config, family, compile=compile) for compile in (True, False))
    assert ours.engine in ("native", "compiled")
    tolerance = 1e-5 if name == "iMAML" else 1e-9  # conjugate gradients amplify rounding
    for n, p in replayed.theta.items():
        torch.testing.assert_close(ours.theta[n], p, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["Reptile", "ANIL", "two dimensions", "classification", "a module", "momentum"])
def test_it_learns(name):
    settings, family = OWN[name]
    run = l2l.train(l2l.TrainConfig(**QUICK | settings, iterations=600), family)
    loss = run.history["loss"].mean(1)
    assert loss[-3:].mean() < 0.93 * loss[0]


# ------------------------------------------------------------------------------------------- against other oracles
def differences(function, theta, epsilon=1e-6):
    """The gradient of a function of parameters, by central differences."""
    start = flatten(theta)
    moves = epsilon * torch.eye(len(start), dtype=start.dtype)
    return torch.stack(
        [(function(unflatten(start + m, theta)) - function(unflatten(start - m, theta))) / (2 * epsilon) for m in moves]
    )


@pytest.fixture
def small(generator):
    """Smooth, as differences must be: tanh, float64."""
    network = l2l.MLP((1, 4, 3, 1), "tanh")
    config = l2l.TrainConfig(network=network, dtype="float64")
    batch = l2l.SineTasks().sample(3, 5, 4, generator=generator, dtype=torch.float64)
    return config.parts.loss, network.init(generator, torch.float64), batch


def tasks_of(batch):
    return zip(*batch[:4], strict=True)


def descend(theta, x, y, loss, rates, steps, moving=lambda name: True):
    for _ in range(steps):
        theta = {n: p.detach().requires_grad_() for n, p in theta.items()}
        grads = torch.autograd.grad(loss(theta, x, y), list(theta.values()))
        theta = {n: p - rates[n] * g * moving(n) for (n, p), g in zip(theta.items(), grads, strict=True)}
    return {n: p.detach() for n, p in theta.items()}


def test_anil_agrees_with_finite_differences(small):
    loss, theta, batch = small
    rates = dict.fromkeys(theta, 0.05)

    def after(theta):
        moving = ("W3", "b3").__contains__
        adapted = [descend(theta, xs, ys, loss, rates, 2, moving) for xs, ys, _, _ in tasks_of(batch)]
        return sum(loss(phi, xq, yq) for phi, (_, _, xq, yq) in zip(adapted, tasks_of(batch), strict=True)) / 3

    found = anil(theta, batch, alpha=0.05, steps=2, loss=loss)
    torch.testing.assert_close(found.loss, after(theta))
    torch.testing.assert_close(flatten(found.grads), differences(after, theta), rtol=1e-6, atol=1e-8)


def test_meta_sgd_agrees_with_finite_differences(small):
    loss, params, batch = small
    theta = meta_sgd.init(params, 0.05)
    theta = {n: p + (0.3 * torch.arange(p.numel()).reshape(p.shape) if "rate" in n else 0.0) for n, p in theta.items()}
    theta = {n: p.clamp(max=-1.0) if "rate" in n else p for n, p in theta.items()}

    def after(theta):
        params = {n: theta[n] for n in ("W1", "b1", "W2", "b2", "W3", "b3")}
        rates = {n: theta[f"log_rate.{n}"].exp() for n in params}
        adapted = [descend(params, xs, ys, loss, rates, 2) for xs, ys, _, _ in tasks_of(batch)]
        return sum(loss(phi, xq, yq) for phi, (_, _, xq, yq) in zip(adapted, tasks_of(batch), strict=True)) / 3

    found = meta_sgd(theta, batch, alpha=0.05, steps=2, loss=loss)
    torch.testing.assert_close(found.loss, after(theta))
    torch.testing.assert_close(flatten(found.grads), differences(after, theta), rtol=1e-6, atol=1e-8)


def test_implicit_maml_agrees_with_finite_differences(small, monkeypatch):
    loss, theta, batch = small
    monkeypatch.setattr(sys.modules[__name__], "ROUNDS", 60)

    def after(theta):
        def minimum(x, y):
            """To convergence, by Newton's method."""
            start = flatten(theta)

            def inner(v):
                return loss(unflatten(v, theta), x, y) + STRENGTH / 2 * ((v - start) ** 2).sum()

            v = flatten(descend(theta, x, y, loss, dict.fromkeys(theta, 0.05), 1))
            for _ in range(300):
                v = v - 0.05 * grad(inner)(v)
            for _ in range(4):
                v = v - torch.linalg.solve(torch.func.hessian(inner)(v), grad(inner)(v))
            return unflatten(v, theta)

        return sum(loss(minimum(xs, ys), xq, yq) for xs, ys, xq, yq in tasks_of(batch)) / 3

    found = imaml(theta, batch, alpha=0.05, steps=300, loss=loss)
    torch.testing.assert_close(found.loss, after(theta))
    torch.testing.assert_close(flatten(found.grads), differences(after, theta, 1e-5), rtol=1e-6, atol=1e-7)


def test_reptile_is_the_way_of_plain_descent(small):
    loss, theta, batch = small
    ways = []
    for xs, ys, xq, yq in tasks_of(batch):
        phi = descend(theta, torch.cat([xs, xq]), torch.cat([ys, yq]), loss, dict.fromkeys(theta, 0.05), 3)
        ways.append((flatten(theta) - flatten(phi)) / 0.05)
    found = reptile(theta, batch, alpha=0.05, steps=3, loss=loss)
    torch.testing.assert_close(flatten(found.grads), torch.stack(ways).mean(0))


def test_a_module_is_the_dict_network_bit_for_bit(generator):
    network = l2l.from_module(tanh_module)
    theirs = network.init(generator, torch.float32)
    names = dict(zip(theirs, ("W1", "b1", "W2", "b2", "W3", "b3"), strict=True))
    ours = {names[n]: p.T.contiguous() if p.ndim == 2 else p for n, p in theirs.items()}
    x = torch.linspace(-5, 5, 30)[:, None]
    assert torch.equal(network.apply(theirs, x), l2l.mlp(ours, x, torch.tanh))
    batch = l2l.SineTasks().sample(3, 5, 4, generator=generator)
    loss = l2l.TrainConfig(network=network).parts.loss
    found = l2l.maml(theirs, batch, alpha=0.01, steps=2, loss=loss)
    expected = l2l.maml(ours, batch, alpha=0.01, steps=2, loss=partial(l2l.mse, activation=torch.tanh))
    torch.testing.assert_close(found.loss, expected.loss)
    for n, g in found.grads.items():
        torch.testing.assert_close(g.T if g.ndim == 2 else g, expected.grads[names[n]])


def test_a_module_keeps_nothing_between_calls_and_leaves_the_generator_of_torch(generator):
    before = torch.get_rng_state()
    network = l2l.from_module(normalised_module, batch_norm="batch")
    params, x = network.init(generator, torch.float32), torch.randn(7, 1, generator=generator)
    first = network.apply(params, x)
    network.apply(params, 100 * x)
    assert torch.equal(network.apply(params, x), first)
    assert torch.equal(torch.get_rng_state(), before)
    frozen = l2l.from_module(normalised_module, batch_norm="frozen")
    assert torch.allclose(frozen.apply(params, x)[:3], frozen.apply(params, x[:3])), (
        "by what it holds, not by the batch"
    )


def dropping():
    return nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5))


@pytest.mark.parametrize(
    ("make", "mode", "error", "message"),
    [
        (normalised_module, None, ValueError, '"batch" .*code released with MAML|normalises over a batch.*"frozen"'),
        (normalised_module, "running", ValueError, "batch_norm must be .*got 'running'"),
        (tanh_module, "batch", ValueError, "batch_norm is for modules with batch normalisation"),
        (dropping, None, ValueError, "draws random numbers at each call"),
        (nn.Linear(1, 1), None, TypeError, "got a module itself"),
        (dict, None, TypeError, "make must make a torch.nn.Module"),
        (lambda: nn.LazyLinear(3), None, TypeError, "got a lazy weight"),
    ],
)
def test_modules_that_are_no_functions_are_refused(make, mode, error, message):
    with pytest.raises(error, match=message):
        l2l.from_module(make, batch_norm=mode)


def test_momentum_is_that_of_torch():
    config = l2l.TrainConfig(**QUICK | {"optimizer": momentum, "seeds": (5,), "dtype": "float64"}, iterations=30)
    theta = config.initial_parameters(5)
    leaves = {n: p.clone().requires_grad_() for n, p in theta.items()}
    optimizer, tasks = torch.optim.SGD(leaves.values(), lr=1e-3, momentum=0.9), l2l.tasks.stream(l2l.tasks.TRAIN, 5)
    for _ in range(30):
        batch = l2l.SineTasks().sample(4, 6, 6, generator=tasks, dtype=torch.float64)
        for leaf, g in zip(leaves.values(), l2l.maml(leaves, batch, alpha=0.01, steps=1).grads.values(), strict=True):
            leaf.grad = g.detach()
        optimizer.step()
    for n, p in l2l.train(config).theta.items():
        torch.testing.assert_close(p[0], leaves[n].detach(), rtol=1e-10, atol=1e-12)


def test_a_schedule_of_rates_is_one_step_at_each(small):
    loss, theta, batch = small
    x, y = batch.x_support[0], batch.y_support[0]
    phi = theta
    for rate in (0.1, 0.05, 0.05):  # the last holds for further steps
        phi = l2l.adapt(phi, x, y, alpha=rate, steps=1, loss=loss)
    for alpha in ((0.1, 0.05), [0.1, 0.05], torch.tensor([0.1, 0.05], dtype=torch.float64)):
        found = l2l.adapt(theta, x, y, alpha=alpha, steps=3, loss=loss)
        torch.testing.assert_close(flatten(found), flatten(phi), rtol=1e-12, atol=1e-12)
    slope = torch.func.grad(lambda a: loss(l2l.adapt(theta, x, y, alpha=a, steps=1, loss=loss), x, y))
    at = torch.tensor(0.05, dtype=torch.float64)
    after = [loss(l2l.adapt(theta, x, y, alpha=0.05 + e, steps=1, loss=loss), x, y) for e in (1e-6, -1e-6)]
    torch.testing.assert_close(slope(at), (after[0] - after[1]) / 2e-6, rtol=1e-6, atol=1e-9)


# ------------------------------------------------------------------------------------------------------- run files
def test_a_file_says_what_must_be_passed(tmp_path):
    config = l2l.TrainConfig(**QUICK, method=anil, network=l2l.MLP((2, 8, 8, 2)), iterations=20)
    out = tmp_path / "run.safetensors"
    l2l.train(config, Rotations(), out=out)
    for missing, match in (
        ({"task_family": Rotations()}, "its method is 'ANIL', which isn't known here; pass it"),
        ({"method": anil}, "its task_family is 'Rotations', which isn't known here; pass it"),
        ({"method": reptile, "task_family": Rotations()}, "its method is 'ANIL', not 'Reptile'"),
        ({"method": anil, "task_family": Rotations(1.0)}, "its task_family is .*3.0.*, not .*1.0"),
        ({"method": anil, "task_family": l2l.SineTasks()}, "its task_family is .*Rotations.*, not .*SineTasks"),
    ):
        with pytest.raises(ValueError, match=match):
            l2l.Run.load(out, **missing)
    assert l2l.Run.load(out, method=anil, task_family=Rotations()).task_family == Rotations()
    with pytest.raises(ValueError, match="its method is 'ANIL', not"):
        l2l.train(replace(config, method="maml"), Rotations(), out=out, resume=True)


WRONG = {
    "a gradient is missing": (
        lambda theta, batch, **_: l2l.MetaGrad(torch.zeros(()), {"W1": theta["W1"]}),
        "names and shapes of theta",
    ),
    "a loss for each task": (
        lambda theta, batch, **_: l2l.MetaGrad(torch.zeros(3), dict(theta)),
        "a loss without axes",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_methods_that_do_not_fit_are_refused(name):
    gradient, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        l2l.train(l2l.TrainConfig(**QUICK, method=l2l.Method("wrong", gradient), iterations=5))


def test_a_method_that_looks_at_values_is_called_and_said_to_be(monkeypatch):
    monkeypatch.delenv("L2L_STRICT", raising=False)

    def by_value(theta, batch, **settings):
        found = l2l.maml(theta, batch, **settings)
        return found if found.loss < 1e9 else l2l.MetaGrad(found.loss, {n: 0 * g for n, g in found.grads.items()})

    config = l2l.TrainConfig(**QUICK, method=l2l.Method("clipped", by_value), iterations=25)
    with pytest.warns(RuntimeWarning, match="training is called.*can't be recorded") as warned:
        run = l2l.train(config)
    assert run.engine == "called"
    assert len({str(w.message) for w in warned}) == 1
    plain = l2l.train(replace(config, method="maml"))
    for n, p in plain.theta.items():
        torch.testing.assert_close(run.theta[n], p, rtol=1e-4, atol=1e-5)


def test_sigkill_and_resume_with_parts_of_ones_own(tmp_path):
    script = textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import test_seam as t, l2l
        config = l2l.TrainConfig(**t.QUICK | {{"method": t.meta_sgd, "optimizer": t.momentum}}, iterations=600)
        l2l.training.SAVE_EVERY = 0.0
        def die(run):
            if run.iteration == int(sys.argv[1]):
                os.kill(os.getpid(), signal.SIGKILL)
        l2l.train(config, progress=die, out={str(tmp_path / "run.safetensors")!r}, resume=True)
    """)

    def start(at):
        return subprocess.run([sys.executable, "-c", script, str(at)], cwd=tmp_path).returncode

    assert start(200) == -signal.SIGKILL
    assert start(420) == -signal.SIGKILL
    assert start(-1) == 0
    config = l2l.TrainConfig(**QUICK | {"method": meta_sgd, "optimizer": momentum}, iterations=600)
    run = l2l.Run.load(tmp_path / "run.safetensors", method=meta_sgd, optimizer=momentum)
    same(run, l2l.train(config))


def test_the_examples_of_the_librarys_page_run(tmp_path, monkeypatch):
    page = (Path(__file__).parent.parent / "book" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page.partition("(own-parts)=")[2], re.DOTALL)
    assert len(blocks) >= 9
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "page", page := types.ModuleType("page"))
    for block in blocks:
        exec(compile(block, "api.md", "exec"), page.__dict__)
        if "run" in page.__dict__:
            assert page.run.engine == "recorded"
            assert all(p.isfinite().all() for p in page.run.theta.values())
    plt.close("all")
