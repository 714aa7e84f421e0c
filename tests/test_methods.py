"""Meta-gradients against oracles that share no code with the library: a naive loop, and finite differences."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

import l2l
from l2l import (
    METHODS,
    Method,
    SineTasks,
    TrainConfig,
    adapt,
    checkpointed_maml,
    fomaml,
    init_params,
    initial_gradient_norm,
    inner_loop,
    maml,
    mlp,
    mse,
    pretrain,
)
from l2l.methods import check_batch

ALPHA = 0.02


def plain_loss(params, x, y):
    """The mean squared error of the ReLU network, written without l2l."""
    values = list(params)
    for i in range(0, len(values), 2):
        x = x @ values[i] + values[i + 1]
        x = x.clamp(min=0) if i + 2 < len(values) else x
    return ((x - y) ** 2).sum() / y.numel()


def naive(method, theta, batch, alpha, steps):
    """Line 10 as a loop over tasks with autograd."""
    leaves = [p.clone().requires_grad_() for p in theta.values()]
    total = 0.0
    for x_s, y_s, x_q, y_q in zip(*batch[:4], strict=True):
        params = leaves
        if method == "pretrain":
            total = total + plain_loss(params, torch.cat([x_s, x_q]), torch.cat([y_s, y_q]))
            continue
        for _ in range(steps):
            grads = torch.autograd.grad(plain_loss(params, x_s, y_s), params, create_graph=method == "maml")
            params = [p - alpha * g for p, g in zip(params, grads, strict=True)]
        total = total + plain_loss(params, x_q, y_q)
    loss = total / len(batch.x_support)
    return loss, torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 10])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_against_a_naive_loop(method, steps, dtype, tolerance, generator):
    theta = init_params((1, 12, 9, 1), generator=generator, dtype=dtype)
    batch = SineTasks().sample(4, 6, 7, generator=generator, dtype=dtype)
    result = METHODS[method](theta, batch, alpha=ALPHA, steps=steps)
    loss, grads = naive(method, theta, batch, ALPHA, steps)
    assert list(result.grads) == list(theta)
    assert result.loss.shape == ()
    torch.testing.assert_close(result.loss, loss.detach(), rtol=tolerance, atol=tolerance)
    for ours, oracle in zip(result.grads.values(), grads, strict=True):
        torch.testing.assert_close(ours, oracle, rtol=tolerance, atol=tolerance)


def smooth_loss(params, x, y):
    """tanh in place of ReLU: the meta-objective of a ReLU network has kinks, where differences mislead."""
    hidden = torch.tanh(x @ params["W1"] + params["b1"])
    return ((hidden @ params["W2"] + params["b2"] - y) ** 2).mean()


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
@pytest.mark.parametrize("method", ["maml", "pretrain"])
def test_against_finite_differences(method, steps, generator):
    theta = init_params((1, 5, 1), generator=generator, dtype=torch.float64)
    batch = SineTasks().sample(3, 4, 5, generator=generator, dtype=torch.float64)
    call = partial(METHODS[method], batch=batch, alpha=0.05, steps=steps, loss=smooth_loss)
    exact, h, worst = call(theta).grads, 1e-5, 0.0
    scale = max(g.abs().max().item() for g in exact.values())
    for name, p in theta.items():
        for i in range(p.numel()):
            nudge = torch.zeros_like(p)
            nudge.view(-1)[i] = h
            up, down = (call(theta | {name: p + sign * nudge}).loss for sign in (1, -1))
            worst = max(worst, abs((up - down) / (2 * h) - exact[name].view(-1)[i]).item() / scale)
    assert worst < 1e-6


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_relu_network_along_a_direction(steps, generator):
    theta = init_params(generator=generator, dtype=torch.float64)
    batch = SineTasks().sample(5, 10, 10, generator=generator, dtype=torch.float64)
    direction = {k: torch.randn(p.shape, generator=generator, dtype=p.dtype) / 40 for k, p in theta.items()}
    grads = maml(theta, batch, alpha=0.01, steps=steps).grads
    exact = sum((grads[k] * direction[k]).sum() for k in theta)

    def quotient(h):
        up, down = ({k: p + s * h * direction[k] for k, p in theta.items()} for s in (1, -1))
        losses = [maml(at, batch, alpha=0.01, steps=steps).loss for at in (up, down)]
        return (losses[0] - losses[1]) / (2 * h)

    # a step small enough that no unit switches agrees; larger ones may straddle a kink
    assert min(abs(quotient(h) - exact) / abs(exact) for h in (1e-4, 1e-5, 1e-6)) < 1e-6


def test_one_parameter_by_hand():
    # L(θ) = h (θ - c)²/2 with x = c, y = h: θ1 = θ - αh(θ - c), dL(θ1)/dθ = (1 - αh)² h (θ - c)
    def quadratic(params, c, h):
        return (h * (params["W1"] - c) ** 2 / 2).sum()

    theta = {"W1": torch.tensor([[3.0]], dtype=torch.float64)}
    c, h, alpha = 1.0, 0.5, 0.4
    batch = SineTasks().sample(1, 1, 1, generator=torch.Generator(), dtype=torch.float64)
    point = torch.full((1, 1, 1), c, dtype=torch.float64), torch.full((1, 1, 1), h, dtype=torch.float64)
    batch = batch._replace(x_support=point[0], y_support=point[1], x_query=point[0], y_query=point[1])
    for steps in (0, 1, 2, 5):
        second = maml(theta, batch, alpha=alpha, steps=steps, loss=quadratic).grads["W1"].item()
        first = fomaml(theta, batch, alpha=alpha, steps=steps, loss=quadratic).grads["W1"].item()
        assert second == pytest.approx((1 - alpha * h) ** (2 * steps) * h * (3.0 - c))
        assert first == pytest.approx((1 - alpha * h) ** steps * h * (3.0 - c))


def test_fomaml_is_the_query_gradient_at_the_adapted_parameters(problem):
    theta, batch = problem
    for steps in (1, 4):
        expected = {name: torch.zeros_like(p) for name, p in theta.items()}
        for x_s, y_s, x_q, y_q in zip(*batch[:4], strict=True):
            phi = {k: p.detach().requires_grad_() for k, p in adapt(theta, x_s, y_s, alpha=ALPHA, steps=steps).items()}
            grads = torch.autograd.grad(mse(phi, x_q, y_q), list(phi.values()))
            expected = {k: e + g / 3 for (k, e), g in zip(expected.items(), grads, strict=True)}
        result = fomaml(theta, batch, alpha=ALPHA, steps=steps)
        for name in theta:
            torch.testing.assert_close(result.grads[name], expected[name])
        exact = maml(theta, batch, alpha=ALPHA, steps=steps)
        assert torch.equal(result.loss, exact.loss)
        assert any((result.grads[k] - exact.grads[k]).abs().max() > 1e-3 * exact.grads[k].abs().max() for k in theta)


def test_alpha_zero_is_training_on_the_query_points(problem):
    theta, batch = problem
    as_joint = batch._replace(
        x_support=batch.x_query[:, :2],
        y_support=batch.y_query[:, :2],
        x_query=batch.x_query[:, 2:],
        y_query=batch.y_query[:, 2:],
    )
    expected = pretrain(theta, as_joint, alpha=0.0, steps=0)
    for method in (maml, fomaml):
        result = method(theta, batch, alpha=0.0, steps=3)
        torch.testing.assert_close(result.loss, expected.loss)
        for name in theta:
            torch.testing.assert_close(result.grads[name], expected.grads[name])


def test_pretraining_ignores_adaptation_and_weighs_points_equally(problem):
    theta, batch = problem
    result = pretrain(theta, batch, alpha=0.3, steps=7)
    x = torch.cat([batch.x_support, batch.x_query], 1).reshape(-1, 1)
    y = torch.cat([batch.y_support, batch.y_query], 1).reshape(-1, 1)
    torch.testing.assert_close(result.loss, ((mlp(theta, x) - y) ** 2).mean())


def test_adapt_is_plain_gradient_descent(problem):
    theta, batch = problem
    x, y = batch.x_support[0], batch.y_support[0]
    leaves = [p.clone().requires_grad_() for p in theta.values()]
    optimiser = torch.optim.SGD(leaves, lr=ALPHA)
    for _ in range(4):
        optimiser.zero_grad()
        plain_loss(leaves, x, y).backward()
        optimiser.step()
    for loop in (inner_loop, partial(inner_loop, first_order=True)):
        phi = adapt(theta, x, y, alpha=ALPHA, steps=4, inner_loop=loop)
        for ours, oracle in zip(phi.values(), leaves, strict=True):
            torch.testing.assert_close(ours, oracle.detach())
    assert all(
        torch.equal(phi, p)
        for phi, p in zip(adapt(theta, x, y, alpha=1.0, steps=0).values(), theta.values(), strict=True)
    )


def test_initial_gradient_norm_is_the_length_of_the_first_step(problem):
    theta, batch = problem
    norms = initial_gradient_norm({k: p.clone().requires_grad_() for k, p in theta.items()}, batch)
    assert norms.shape == (3,)
    assert not norms.requires_grad
    for i, norm in enumerate(norms):
        phi = adapt(theta, batch.x_support[i], batch.y_support[i], alpha=1e-3, steps=1)
        moved = math.sqrt(sum(((theta[k] - phi[k]) ** 2).sum().item() for k in theta))
        assert norm.item() == pytest.approx(moved / 1e-3, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"alpha": -0.01, "steps": 1}, ValueError, "alpha must be a finite number, not negative, got -0.01"),
        ({"alpha": math.nan, "steps": 1}, ValueError, "got nan"),
        ({"alpha": math.inf, "steps": 1}, ValueError, "got inf"),
        ({"alpha": "0.1", "steps": 1}, TypeError, "alpha must be a number"),
        ({"alpha": 0.1, "steps": -1}, ValueError, "steps must be at least 0, got -1"),
        ({"alpha": 0.1, "steps": 1.0}, TypeError, "steps must be a whole number"),
        ({"alpha": 0.1, "steps": True}, TypeError, "steps must be a whole number"),
    ],
)
def test_bad_settings(problem, method, settings, error, message):
    with pytest.raises(error, match=message):
        METHODS[method](*problem, **settings)


def test_bad_batches(problem):
    theta, batch = problem
    for bad in (
        batch._replace(y_support=batch.y_support[:2]),
        batch._replace(x_query=batch.x_query[:2], y_query=batch.y_query[:2]),
        batch._replace(x_support=batch.x_support[..., 0, 0], y_support=batch.y_support[..., 0, 0]),
        batch._replace(x_support=batch.x_support[:, :0], y_support=batch.y_support[:, :0]),
    ):
        for call in (partial(maml, alpha=0.1, steps=1), partial(pretrain, alpha=0.1, steps=1), initial_gradient_norm):
            with pytest.raises(ValueError, match="batch must hold"):
                call(theta, bad)
    with pytest.raises(TypeError, match="one dtype"):
        check_batch(theta, batch._replace(y_query=batch.y_query.float()))
    with pytest.raises(TypeError, match="one dtype"):
        fomaml({k: p.float() for k, p in theta.items()}, batch, alpha=0.1, steps=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("method", METHODS)
def test_on_cuda(problem, method):
    theta, batch = problem
    on_cpu = METHODS[method](theta, batch, alpha=ALPHA, steps=2)
    on_gpu = METHODS[method](
        {k: p.cuda() for k, p in theta.items()}, type(batch)(*(f.cuda() for f in batch)), alpha=ALPHA, steps=2
    )
    for name in theta:
        torch.testing.assert_close(on_gpu.grads[name].cpu(), on_cpu.grads[name])


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13])
def test_checkpoints_leave_the_gradient_as_it_is(steps, generator):
    """That of autograd through a naive loop; also in parts of two tasks at once."""
    theta = init_params((1, 12, 9, 1), generator=generator, dtype=torch.float64)
    batch = SineTasks().sample(5, 6, 7, generator=generator, dtype=torch.float64)
    loss, grads = naive("maml", theta, batch, ALPHA, steps)
    for settings in ({}, {"at_once": 2}):
        found = checkpointed_maml(theta, batch, alpha=ALPHA, steps=steps, **settings)
        torch.testing.assert_close(found.loss, loss, rtol=1e-12, atol=1e-12)
        for ours, theirs in zip(found.grads.values(), grads, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_checkpoints_take_a_schedule_of_rates_and_keep_no_graph(generator):
    theta = init_params((1, 6, 1), generator=generator, dtype=torch.float64)
    theta = {name: p.requires_grad_() for name, p in theta.items()}
    batch = SineTasks().sample(3, 4, 4, generator=generator, dtype=torch.float64)
    for alpha in ((0.05, 0.01), torch.tensor([0.05, 0.01], dtype=torch.float64)):
        found = checkpointed_maml(theta, batch, alpha=alpha, steps=5)
        expected = maml(theta, batch, alpha=(0.05, 0.01), steps=5)
        for name, g in found.grads.items():
            torch.testing.assert_close(g, expected.grads[name], rtol=1e-10, atol=1e-12)
            assert not g.requires_grad
    with pytest.raises(ValueError, match="at_once must be at least 1"):
        checkpointed_maml(theta, batch, alpha=0.01, steps=1, at_once=0)


def test_checkpoints_train_as_maml_does():
    config = TrainConfig(
        method=Method("checkpointed", checkpointed_maml), steps=3, tasks=4, iterations=20, dtype="float64"
    )
    run = l2l.train(config)
    assert run.engine == "recorded"
    for name, p in l2l.train(replace(config, method="maml")).theta.items():
        torch.testing.assert_close(run.theta[name], p, rtol=1e-9, atol=1e-9)


ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""What is freed goes back at once: else glibc keeps some ten megabytes, more or less, which hides what is measured."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no peak of memory is told here")
def test_memory_with_checkpoints_hardly_grows_with_steps():
    code = """if True:
        import sys, torch, l2l
        torch.set_num_threads(1)
        def kilobytes(field):
            return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field))
        theta = l2l.init_params(generator=torch.Generator().manual_seed(0))
        batch = l2l.SineTasks().sample(1000, 10, 10, generator=torch.Generator().manual_seed(1))
        how = getattr(l2l, sys.argv[1])
        how(theta, l2l.Batch(*(x[:2] for x in batch[:4])), alpha=0.01, steps=1)
        open("/proc/self/clear_refs", "w").write("5")
        before = kilobytes("VmRSS")
        how(theta, batch, alpha=0.01, steps=int(sys.argv[2]))
        print(kilobytes("VmHWM") - before)
    """

    def peak(how, steps):
        command = [sys.executable, "-c", code, how, str(steps)]
        return int(subprocess.run(command, capture_output=True, check=True, env=os.environ | ALLOCATOR).stdout)

    few, many = (peak("checkpointed_maml", steps) for steps in (3, 24))
    assert many < 1.3 * few
    assert many < peak("maml", 3) / 3, "that of the whole graph"
