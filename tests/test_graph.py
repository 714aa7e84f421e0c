import pytest
import torch

from l2l import METHODS, SineTasks, TrainConfig, init_params
from l2l.adam import adam_init
from l2l.engine.graph import PRODUCTS, record
from l2l.engine.native import Unavailable
from l2l.engine.replica import make_step, rates
from l2l.net import flatten
from l2l.tasks import Batch


def problem(generator, dtype="float64", **settings):
    config = TrainConfig(tasks=3, shots=5, query=4, sizes=(1, 7, 6, 1), dtype=dtype, **settings)
    numbers = getattr(torch, dtype)
    theta = init_params(config.sizes, generator=generator, dtype=numbers)
    batch = Batch(*SineTasks().sample(3, 5, 4, generator=generator, dtype=numbers)[:4])
    return config, theta, batch, (flatten(theta), *adam_init(flatten(theta)))


def recorded_step(config, theta, batch, state):
    return record(make_step(config, theta), *state, *rates(config, "cpu"), *batch)


def naive_gradient(theta, batch, method, alpha, steps):
    """A loop over tasks with autograd: create_graph decides what is second order."""
    leaves = {k: p.clone().requires_grad_() for k, p in theta.items()}

    def loss(params, x, y):
        h = x
        for layer in range(1, len(params) // 2):
            h = torch.relu(h @ params[f"W{layer}"] + params[f"b{layer}"])
        return ((h @ params[f"W{layer + 1}"] + params[f"b{layer + 1}"] - y) ** 2).mean()

    total = 0
    for xs, ys, xq, yq in zip(*batch, strict=True):
        if method == "pretrain":
            total = total + loss(leaves, torch.cat([xs, xq]), torch.cat([ys, yq]))
            continue
        phi = leaves
        for _ in range(steps):
            grads = torch.autograd.grad(loss(phi, xs, ys), list(phi.values()), create_graph=method == "maml")
            phi = {k: p - alpha * g for (k, p), g in zip(phi.items(), grads, strict=True)}
        total = total + loss(phi, xq, yq)
    value = total / len(batch.x_support)
    return dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True)), value.detach()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_recorded_gradient_equals_a_naive_loop(generator, method, steps, dtype):
    config, theta, batch, state = problem(generator, dtype, method=method, steps=steps, alpha=0.05)
    *after, loss = recorded_step(config, theta, batch, state)(*state, *rates(config, "cpu"), *batch)
    grads, value = naive_gradient(theta, batch, method, 0.05, steps)
    tolerance = 1e-10 if dtype == "float64" else 1e-5
    first_mean = flatten(grads) / 10  # of Adam: a tenth of the gradient
    torch.testing.assert_close(after[1], first_mean, rtol=tolerance, atol=tolerance / 10)
    torch.testing.assert_close(loss, value, rtol=tolerance, atol=tolerance)


def test_what_looks_at_values_cannot_be_recorded(generator):
    def by_value(x):
        return (x * 2 if x.sum() > 0 else x,)

    with pytest.raises(Unavailable, match="can't be recorded"):
        record(by_value, torch.ones(2))


def test_an_error_of_the_function_is_told_as_such():
    def broken(x):
        return (x @ torch.ones(3, 3),)

    with pytest.raises(RuntimeError, match="cannot be multiplied") as error:
        record(broken, torch.ones(2))
    assert not isinstance(error.value, Unavailable)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((4, 1), (1, 5)),
        ((4, 3), (3, 1)),
        ((1, 4), (4, 3)),
        ((2, 4, 1), (2, 1, 5)),
        ((2, 6, 5), (2, 5, 1)),
        ((2, 1, 5), (2, 5, 3)),
        ((2, 6, 5), (2, 5, 3)),
    ],
)
def test_rewritten_products_are_equal(generator, a, b):
    a, b = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in (a, b))
    graph = record(lambda a, b: (torch.bmm(a, b) if a.ndim == 3 else a @ b,), a, b)
    calls = [node.target.__name__ for node in graph.graph.nodes if node.op == "call_function"]
    assert calls not in (["mm.default"], ["bmm.default"])
    torch.testing.assert_close(graph(a, b)[0], a @ b, rtol=1e-13, atol=1e-13)


def times(x, c):
    return x.neg() * c


@pytest.mark.parametrize(
    ("function", "moved"),
    [
        (lambda a, G: torch.bmm(a, times(G, 0.3)), True),
        (lambda a, G: torch.bmm(a, times(G, 0.3).mT), True),
        (lambda a, G: torch.bmm(times(G, 0.3), a.mT), True),
        (lambda a, G: torch.mm(times(G[:1].expand(5, 7, 7), 0.3).view(35, 7), a[0].mT), True),  # G has no such view
        (lambda a, G: torch.bmm(a, times(times(G, 0.3).view(5, 49), 2.0).view(5, 7, 7)), True),
        (lambda a, G: torch.bmm(a, torch.relu(times(G, 0.3))), False),
        (lambda a, G: torch.bmm(a.mT, times(a, 0.3)), False),  # the product is the larger one
        (lambda a, G: torch.bmm(a, G * G), False),
    ],
)
def test_a_factor_moves_to_the_smaller_side(generator, function, moved):
    a, G = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((5, 3, 7), (5, 7, 7)))
    graph = record(lambda a, G: (function(a, G),), a, G)
    torch.testing.assert_close(graph(a, G)[0], function(a, G), rtol=1e-13, atol=1e-13)
    called = [node.target for node in graph.graph.nodes]
    product = next(i for i, target in enumerate(called) if target in PRODUCTS)
    assert (called.index(torch.ops.aten.mul.Tensor) > product) == moved


def test_what_is_computed_twice_is_computed_once(generator):
    x = torch.randn(3, 4, generator=generator)

    def twice(x):
        return (torch.exp(x).sum() + torch.exp(x).mean(),)

    recorded = record(twice, x)
    targets = [node.target for node in recorded.graph.nodes]
    assert targets.count(torch.ops.aten.exp.default) == 1
    assert torch.equal(recorded(x)[0], twice(x)[0])
