"""Parts of a reader's own, as the library's page teaches them: trained compiled, resumed, adapted and drawn.

Each of the methods is a few lines, and touches no file of l2l. What they compute is compared with something that shares
no code with them: finite differences, a closed form, a loop by hand, torch's own optimisers.
"""

import itertools
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
import paper
import pytest
import relatives
import torch
from relatives import META_SGD, REPTILE, adapting, only
from torch import nn
from torch.func import grad

import l2l
from l2l import plots
from l2l.net import flatten, unflatten

# --------------------------------------------------------------------------------------------------------- methods
head_loop = only("W3", "b3")  # ANIL: the last layer alone adapts
anil = adapting("ANIL", "W3", "b3")
first_order_anil = l2l.Method("first-order ANIL", partial(l2l.fomaml, inner_loop=head_loop), head_loop)
meta_sgd = META_SGD  # a rate for each parameter, learned as its logarithm, so positive


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


class NarrowBlobs(Blobs):
    """With labels in half as many bits as torch's cross-entropy takes."""

    def sample(self, *args, **settings):
        batch = super().sample(*args, **settings)
        return batch._replace(y_support=batch.y_support.int(), y_query=batch.y_query.int())


# ----------------------------------------------------------------------------------------- networks and optimisers
def tanh_module():
    return nn.Sequential(nn.Linear(1, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 1))


def normalised_module():
    return nn.Sequential(nn.Linear(1, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))


def momentum_update(theta, g, state, rate):
    velocity = 0.9 * state[0] + g
    return theta - rate * velocity, (velocity,)


momentum = l2l.Optimizer("SGD with momentum", lambda theta: (torch.zeros_like(theta),), momentum_update)

ROUNDS = {
    "rounds": 2
}  # of conjugate gradients, and one step, where the stored run has five and two: a small graph to compile
SHORT = l2l.Method(
    "implicit-maml", partial(relatives.implicit_maml, **ROUNDS), partial(relatives.implicit_step, **ROUNDS)
)
QUICK = {"tasks": 4, "shots": 6, "query": 6, "seeds": (0, 3), "log_every": 20}
OWN = {
    "Reptile": ({"method": REPTILE, "steps": 3}, l2l.SineTasks()),
    "ANIL": ({"method": anil}, l2l.SineTasks()),
    "Meta-SGD": ({"method": meta_sgd, "steps": 2}, l2l.SineTasks()),
    "iMAML": ({"method": SHORT, "alpha": 0.05}, l2l.SineTasks()),
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
    same(l2l.Run.load(out, **paper.own_parts(config, family)), whole)
    alone = l2l.train(replace(config, seeds=(3,)), family)
    assert all(torch.equal(p[1], alone.theta[n][0]) for n, p in whole.theta.items()), "replicas are their solo runs"

    batch = family.sample(20, 6, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    method, _, loss, _ = config.parts
    curve = whole.adaptation_curve(batch, steps=4)
    for r in (0, 1):
        one = l2l.adaptation_curve(whole.replica(r), batch, alpha=config.alpha, steps=4, loss=loss, method=method)
        assert torch.equal(curve.support[:, r], one.support)
        assert torch.equal(curve.query[:, r], one.query)
    assert curve.query.shape == (5, 2, 20)
    fig, axes = plt.subplots(1, 2)
    plots.plot_adaptation_curves({name: curve, "maml": curve}, axes[0])
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


def test_first_order_anil_is_the_gradient_where_adaptation_ends(small):
    loss, theta, batch = small
    ends = []
    for xs, ys, xq, yq in tasks_of(batch):
        phi = descend(theta, xs, ys, loss, dict.fromkeys(theta, 0.05), 2, ("W3", "b3").__contains__)
        ends.append(differences(lambda at, x=xq, y=yq: loss(at, x, y), phi))
    found = first_order_anil(theta, batch, alpha=0.05, steps=2, loss=loss)
    torch.testing.assert_close(flatten(found.grads), torch.stack(ends).mean(0), rtol=1e-6, atol=1e-8)
    assert not torch.allclose(flatten(found.grads), flatten(anil(theta, batch, alpha=0.05, steps=2, loss=loss).grads))


def test_a_run_adapts_by_its_own_network_loss_and_method():
    """Against descent by hand: of a network, of a loss and of a method that are not the book's."""
    config = l2l.TrainConfig(
        network=l2l.MLP((1, 6, 5, 1), "tanh"),
        loss=nn.functional.smooth_l1_loss,
        method=anil,
        dtype="float64",
        alpha=0.05,
        iterations=5,
        seeds=(0, 1),
    )
    run = l2l.train(config)
    batch = l2l.SineTasks().sample(4, 5, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def loss(params, x, y):
        h = torch.tanh(torch.tanh(x @ params["W1"] + params["b1"]) @ params["W2"] + params["b2"])
        return nn.functional.smooth_l1_loss(h @ params["W3"] + params["b3"], y)

    for settings, rate in (({}, 0.05), ({"alpha": 0.2}, 0.2)):
        curve = run.adaptation_curve(batch, steps=3, **settings)
        for r in (0, 1):
            for i, (xs, ys, xq, yq) in enumerate(tasks_of(batch)):
                rates = dict.fromkeys(run.theta, rate)
                phis = [descend(run.replica(r), xs, ys, loss, rates, k, ("W3", "b3").__contains__) for k in range(4)]
                for error, x, y in ((curve.support, xs, ys), (curve.query, xq, yq)):
                    torch.testing.assert_close(error[:, r, i], torch.stack([loss(phi, x, y) for phi in phis]))


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


def test_implicit_maml_agrees_with_finite_differences(small):
    loss, theta, batch = small

    def after(theta):
        def minimum(x, y):
            """To convergence, by Newton's method."""
            start = flatten(theta)

            def inner(v):
                return loss(unflatten(v, theta), x, y) + ((v - start) ** 2).sum() / 2 / 0.03

            v = flatten(descend(theta, x, y, loss, dict.fromkeys(theta, 0.05), 1))
            for _ in range(300):
                v = v - 0.01 * grad(inner)(v)
            for _ in range(4):
                v = v - torch.linalg.solve(torch.func.jacrev(grad(inner))(v), grad(inner)(v))
            return unflatten(v, theta)

        return sum(loss(minimum(xs, ys), xq, yq) for xs, ys, xq, yq in tasks_of(batch)) / 3

    found = relatives.implicit_maml(theta, batch, alpha=0.03, steps=12, loss=loss, rounds=60)
    torch.testing.assert_close(found.loss, after(theta))
    start, generator = flatten(theta), torch.Generator().manual_seed(3)
    for _ in range(4):  # along random directions: each difference is six minimisations
        direction = torch.randn(len(start), generator=generator, dtype=start.dtype)
        ends = [after(unflatten(start + sign * 1e-5 * direction, theta)) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / 2e-5
        torch.testing.assert_close(flatten(found.grads) @ direction, slope, rtol=1e-6, atol=1e-7)


def test_reptile_is_the_way_of_plain_descent(small):
    loss, theta, batch = small
    ways = []
    for xs, ys, xq, yq in tasks_of(batch):
        phi = descend(theta, torch.cat([xs, xq]), torch.cat([ys, yq]), loss, dict.fromkeys(theta, 0.05), 3)
        ways.append((flatten(theta) - flatten(phi)) / 0.05)
    found = relatives.reptile(theta, batch, alpha=0.05, steps=3, loss=loss)
    torch.testing.assert_close(flatten(found.grads), torch.stack(ways).mean(0))


class Layer(nn.Module):
    """What the dict network does in a layer. (`nn.Linear` keeps W transposed, and libraries round that otherwise.)"""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.W, self.b = nn.Parameter(torch.randn(inputs, outputs) / 5), nn.Parameter(torch.randn(outputs) / 5)

    def forward(self, x):
        return x @ self.W + self.b


@pytest.mark.parametrize("layer", [Layer, nn.Linear])
def test_a_module_is_the_dict_network_bit_for_bit(layer, generator):
    network = l2l.from_module(lambda: nn.Sequential(layer(1, 40), nn.Tanh(), layer(40, 9), nn.Tanh(), layer(9, 1)))
    theirs = network.init(generator, torch.float32)
    names = dict(zip(theirs, ("W1", "b1", "W2", "b2", "W3", "b3"), strict=True))

    def as_ours(params):
        turned = params if layer is Layer else {n: p.T.contiguous() if p.ndim == 2 else p for n, p in params.items()}
        return {names[n]: p for n, p in turned.items()}

    batch = l2l.SineTasks().sample(3, 5, 4, generator=generator)
    found = l2l.maml(theirs, batch, alpha=0.01, steps=2, loss=l2l.TrainConfig(network=network).parts.loss)
    tanh = partial(l2l.mse, activation=torch.tanh)
    expected = l2l.maml(as_ours(theirs), batch, alpha=0.01, steps=2, loss=tanh)
    outputs = network.apply(theirs, batch.x_query), l2l.mlp(as_ours(theirs), batch.x_query, torch.tanh)
    same = {"rtol": 0, "atol": 0} if layer is Layer else {}
    for one, other in (outputs, (found.loss, expected.loss), (as_ours(found.grads), expected.grads)):
        torch.testing.assert_close(one, other, **same)


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


def test_a_module_in_place_of_a_network_is_told_in_one_line():
    with pytest.raises(TypeError, match="class Sequential; from_module makes a Network from a module") as refused:
        l2l.TrainConfig(network=tanh_module())
    assert "\n" not in str(refused.value)


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
        ({"method": REPTILE, "task_family": Rotations()}, "its method is 'ANIL', not 'reptile'"),
        ({"method": anil, "task_family": Rotations(1.0)}, "its task_family is .*3.0.*, not .*1.0"),
        ({"method": anil, "task_family": l2l.SineTasks()}, "its task_family is .*Rotations.*, not .*SineTasks"),
    ):
        with pytest.raises(ValueError, match=match):
            l2l.Run.load(out, **missing)
    assert l2l.Run.load(out, method=anil, task_family=Rotations()).task_family == Rotations()
    with pytest.raises(ValueError, match="its method is 'ANIL', not"):
        l2l.train(replace(config, method="maml"), Rotations(), out=out, resume=True)


def drawn(change=lambda batch: batch, family=l2l.SineTasks()):  # noqa: B008 (it is frozen)
    class Changed:
        def sample(self, tasks, shots, query, *, generator, dtype):
            return change(family.sample(tasks, shots, query, generator=generator, dtype=dtype))

    return Changed()


def optimiser(init, update):
    return {"optimizer": l2l.Optimizer("own", init, update)}


def in_place(theta, g, state, rate):
    velocity = state[0].mul_(0.9).add_(g)
    return theta - rate * velocity, (velocity,)


def by_any(gradient):
    return {"method": l2l.Method("own", gradient)}


def loops(inner_loop):
    return {"method": l2l.Method("own", partial(l2l.maml, inner_loop=inner_loop), inner_loop)}


def noisy(theta, batch, **settings):
    found = l2l.maml(theta, batch, **settings)
    return l2l.MetaGrad(found.loss, {n: g + torch.randn_like(g) for n, g in found.grads.items()})


TURNS = itertools.count(1)


def never_the_same(theta, x, y, **settings):
    yield from l2l.inner_loop({n: p * next(TURNS) for n, p in theta.items()}, x, y, **settings)


def nothing(theta):
    return ()


def as_a_number(outputs, y):
    return (outputs - y).square().mean().item()


of_images = l2l.from_module(lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(3, 1)))

UNFIT = {  # settings, family, and what is said of them
    "a pair for a MetaGrad": (by_any(lambda *a, **k: tuple(l2l.maml(*a, **k))), drawn(), "must be a MetaGrad, got a t"),
    "noise in the gradient": (by_any(noisy), drawn(), "the method own, .*is random"),
    "an inner loop for adapting that is another each time": (
        {"method": l2l.Method("own", l2l.maml, never_the_same)},
        drawn(),
        "the method own, .*is random",
    ),
    "noise in the update": (
        optimiser(nothing, lambda t, g, s, r: (t + torch.randn_like(t), s)),
        drawn(),
        "the optimiser own must be a function .*is random",
    ),
    "a tuple for a Batch": ({}, drawn(lambda b: tuple(b[:4])), "Changed.sample gives must be a Batch.*got a tuple"),
    "arrays in a Batch": ({}, drawn(lambda b: l2l.Batch(*(x.numpy() for x in b[:4]))), "x_support: ndarray"),
    "too few tasks": ({}, drawn(lambda b: l2l.SineBatch(*(x[1:] for x in b))), r"support \[200, 6.*got \[199, 6"),
    "too few query points": ({}, drawn(lambda b: b._replace(y_query=b.y_query[:, 1:])), "give y_query"),
    "tasks not of the generator": (
        {},
        drawn(lambda b: b._replace(y_query=torch.rand_like(b.y_query))),
        "the same tasks",
    ),
    "a class for a family": ({}, l2l.SineTasks, "an object with a method sample"),
    "no family": ({}, 3, "an object with a method sample"),
    "labels beyond the outputs": ({"network": l2l.MLP((2, 3, 2)), "loss": "cross_entropy"}, Blobs(), "≥ 0 and below 2"),
    "labels of another dtype": (
        {"network": l2l.MLP((2, 3, 3)), "loss": "cross_entropy"},
        NarrowBlobs(),
        "labels must be int64, got int32",
    ),
    "labels with an axis too many": (
        {"network": l2l.MLP((2, 3, 3)), "loss": "cross_entropy"},
        drawn(lambda b: b._replace(y_support=b.y_support[..., None]), Blobs()),
        r"labels must have shape \[6\], got \[6, 1\]",
    ),
    "one-hot labels in whole numbers": (
        {"network": l2l.MLP((2, 3, 3)), "loss": "cross_entropy"},
        drawn(lambda b: b._replace(y_support=nn.functional.one_hot(b.y_support, 3)), Blobs()),
        r"labels must have shape \[6\], got \[6, 3\]",
    ),
    "labels, and a loss for numbers": ({"network": l2l.MLP((2, 3, 3))}, Blobs(), 'set loss="cross_entropy"'),
    "a number that is none": (
        {},
        drawn(lambda b: b._replace(y_query=b.y_query.log())),
        "Changed.sample must give finite numbers, and gives others in y_query",
    ),
    "no state after an update": (optimiser(nothing, lambda t, g, s, r: t - r * g), drawn(), "update of own must give"),
    "a state that grows": (optimiser(nothing, lambda t, g, s, r: (t - r * g, (g,))), drawn(), "keep shapes and dtypes"),
    "a bare tensor as state": (optimiser(torch.zeros_like, lambda t, g, s, r: (t, s)), drawn(), "a tuple of tensors"),
    "a number as state": (optimiser(lambda t: (0,), lambda t, g, s, r: (t, s)), drawn(), "a tuple of tensors"),
    "no state": (optimiser(lambda t: None, lambda t, g, s, r: (t, s)), drawn(), "a tuple of tensors, got None"),
    "a loss that is a number": ({"loss": as_a_number}, drawn(), "a float"),
    "a loss without a name": ({"loss": lambda outputs, y: outputs.mean()}, drawn(), "define it with def"),
    "a network of another family": ({"network": of_images}, drawn(), r"can't take the family's x, \[6, 1\]"),
    "a loss for each point": (
        {"loss": partial(nn.functional.mse_loss, reduction="none")},
        drawn(),
        r"without axes.*\(6, 1\)",
    ),
    "no iterates": (loops(lambda theta, *_, **settings: l2l.adapt(theta, *_, **settings)), drawn(), "2 iter.*a dict"),
    "too few iterates": (loops(lambda theta, *_, **settings: iter([theta])), drawn(), "2 iterates.*got 1"),
    "an optimiser in place": (
        optimiser(lambda t: (torch.zeros_like(t),), in_place),
        drawn(),
        "optimiser own must return new",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_parts_that_do_not_fit_are_refused_before_training(name, tmp_path):
    settings, family, message = UNFIT[name]
    looked = []
    config = l2l.TrainConfig(**QUICK | settings, iterations=5)
    with pytest.raises((TypeError, ValueError), match=message):
        l2l.train(config, family, out=tmp_path / "run.safetensors", progress=looked.append)
    assert not looked
    assert not list(tmp_path.iterdir())


def test_a_curve_needs_an_iterate_for_every_step(generator):
    one = l2l.Method("own", l2l.maml, lambda theta, *_, **settings: iter([theta]))
    batch = l2l.SineTasks().sample(2, 3, 3, generator=generator)
    with pytest.raises(TypeError, match="own must yield 3 iterates, got 1"):
        l2l.adaptation_curve(l2l.init_params(generator=generator), batch, alpha=0.01, steps=2, method=one)


def test_a_curve_needs_labels_that_cross_entropy_takes(generator):
    batch = NarrowBlobs().sample(2, 3, 3, generator=generator, dtype=torch.float32)
    with pytest.raises(TypeError, match="labels, in int64"):
        l2l.adaptation_curve(l2l.init_params((2, 3, 3), generator=generator), batch, alpha=0.01, steps=2)


WRONG = {
    "a gradient is missing": (
        lambda theta, batch, **_: l2l.MetaGrad(torch.zeros(()), {"W1": theta["W1"]}),
        r"names and shapes of theta: b1 \[40\], got nothing; W2",
    ),
    "a loss for each task": (
        lambda theta, batch, **_: l2l.MetaGrad(torch.zeros(3), dict(theta)),
        r"the loss of wrong must have no axes, got shape \[3\]",
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
    with pytest.warns(RuntimeWarning, match="training runs on the called engine.*can't be recorded") as warned:
        run = l2l.train(config)
    assert run.engine == "called"
    assert len({str(w.message) for w in warned}) == 1
    plain = l2l.train(replace(config, method="maml"))
    for n, p in plain.theta.items():
        torch.testing.assert_close(run.theta[n], p, rtol=1e-4, atol=1e-5)


def test_sigkill_and_resume_with_parts_of_ones_own(tmp_path):
    script = textwrap.dedent(f"""
        import os, signal, sys
        sys.path[:0] = {[os.path.dirname(__file__), os.path.dirname(relatives.__file__)]!r}
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


# What a part raises, and targets that would teach nothing.


class Gain(nn.Module):
    def __init__(self):
        super().__init__()
        self.line, self.gain = nn.Linear(1, 1), nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.gain * self.line(x)


def test_a_parameter_may_have_no_axes(generator):
    network = l2l.from_module(Gain)
    run = l2l.train(l2l.TrainConfig(network=network, iterations=5, log_every=5), progress=False)
    theta = {name: p[0] for name, p in run.theta.items()}
    assert theta["gain"].shape == ()
    batch = l2l.SineTasks().sample(3, 4, 2, generator=generator)

    def loss(params, x, y):
        return ((network.apply(params, x) - y) ** 2).mean()

    for x, y, norm in zip(*batch[:2], l2l.initial_gradient_norm(theta, batch, loss), strict=True):
        leaves = {name: p.detach().requires_grad_() for name, p in theta.items()}
        grads = torch.autograd.grad(loss(leaves, x, y), list(leaves.values()))
        assert norm.item() == pytest.approx(sum(g.square().sum().item() for g in grads) ** 0.5, rel=1e-5)


def test_an_error_says_whose_it_is():
    def third_layer(theta, x, y, *, alpha, steps, loss):
        yield {**theta, "W3": theta["W9"]}

    def lost(theta, batch, **settings):
        raise KeyError("W9")

    for method, who in (
        (l2l.Method("lost", lost), "the method lost"),
        (l2l.Method("own", l2l.maml, third_layer), "the inner loop of own"),
    ):
        with pytest.raises(KeyError, match="W9") as raised:
            l2l.train(l2l.TrainConfig(**QUICK, method=method, iterations=5), progress=False)
        assert who in raised.value.__notes__[-1]


class Weighted(Blobs):
    """Blobs with probabilities for labels, times a number that is 1 for probabilities."""

    def __init__(self, total):
        self.total = total

    def sample(self, *sizes, **how):
        xs, ys, xq, yq = super().sample(*sizes, **how)
        return l2l.Batch(xs, self.of(ys, xs), xq, self.of(yq, xq))

    def of(self, labels, x):
        return self.total * torch.nn.functional.one_hot(labels, 3).to(x.dtype)


def test_cross_entropy_takes_probabilities_and_no_other_numbers():
    config = l2l.TrainConfig(network=l2l.MLP((2, 8, 3)), loss="cross_entropy", iterations=2, log_every=2)
    assert l2l.train(config, Weighted(1.0), progress=False).iteration == 2
    with pytest.raises(ValueError, match="with a sum of 1 over the network's outputs; the family gives y from 0 to 2"):
        l2l.train(config, Weighted(2.0), progress=False)
    with pytest.raises(ValueError, match="cross_entropy takes labels, int64"):  # of one class, whose loss is always 0
        l2l.train(l2l.TrainConfig(loss="cross_entropy", iterations=2), progress=False)
