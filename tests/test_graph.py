import ctypes
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import l2l.compiler
import l2l.graph
from l2l import METHODS, SineTasks, TrainConfig, init_params
from l2l.adam import adam_init
from l2l.compiler import LENGTH, compiled
from l2l.graph import record, repeated
from l2l.net import flatten, unflatten
from l2l.replica import make_step


def problem(generator, dtype="float64", **settings):
    config = TrainConfig(tasks=3, shots=5, query=4, sizes=(1, 7, 6, 1), dtype=dtype, **settings)
    numbers = getattr(torch, dtype)
    theta = init_params(config.sizes, generator=generator, dtype=numbers)
    batch = SineTasks().sample(3, 5, 4, generator=generator, dtype=numbers)
    return config, theta, batch, (flatten(theta), *adam_init(flatten(theta)))


def naive_gradient(theta, batch, method, alpha, steps):
    """A loop over tasks with autograd: create_graph decides what is second order."""
    leaves = {k: p.clone().requires_grad_() for k, p in theta.items()}

    def loss(params, x, y):
        h = x
        for layer in range(1, len(params) // 2):
            h = torch.relu(h @ params[f"W{layer}"] + params[f"b{layer}"])
        return ((h @ params[f"W{layer + 1}"] + params[f"b{layer + 1}"] - y) ** 2).mean()

    total = 0
    for xs, ys, xq, yq in zip(*batch[:4], strict=True):
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


def gradient_of(step_result, rate=1.0):
    """The first mean of Adam is a tenth of the gradient."""
    return step_result[1] / 0.1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_recorded_gradient_equals_a_naive_loop(generator, method, steps, dtype):
    config, theta, batch, state = problem(generator, dtype, method=method, steps=steps, alpha=0.05)
    step = record(make_step(config), *state, *batch)
    assert isinstance(step, torch.fx.GraphModule)
    *after, loss = step(*state, *batch)
    grads, value = naive_gradient(theta, batch, method, 0.05, steps)
    tolerance = 1e-10 if dtype == "float64" else 1e-5
    torch.testing.assert_close(gradient_of(after), flatten(grads), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(loss, value, rtol=tolerance, atol=tolerance)


def needs_compiler():
    if json.loads(os.environ.get("L2L_MACHINE", "{}")).get("engine") == "compiled":
        pytest.skip("this machine compiles each step alone")
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler here")
    if not hasattr(torch._inductor.config.aot_inductor, "precompile_headers"):
        pytest.skip("this torch compiles each step alone")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(l2l.compiler, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "l2l"


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_compiled_loop_equals_naive_and_repeated(generator, empty_cache, dtype, tolerance):
    needs_compiler()
    config, theta, batch, state = problem(generator, dtype, steps=2, beta=0.0)
    loop = compiled(record(make_step(config), *state, *batch), state, tuple(batch))()
    assert [path.suffix for path in empty_cache.iterdir()] == [".so"], "compiled ahead of time, and nothing left over"
    many = SineTasks().sample(3 * (LENGTH + 7), 5, 4, generator=generator, dtype=batch.x_query.dtype)
    batches = tuple(x.unflatten(0, (LENGTH + 7, 3)) for x in many)
    after = loop(state, tuple(x.expand(LENGTH, *x.shape).contiguous() for x in batch))[0]  # β = 0: always from θ
    grads, _ = naive_gradient(theta, batch, "maml", 0.01, 2)
    mean = flatten(grads) * (1 - 0.9**LENGTH)  # what Adam's first mean of a constant gradient becomes
    torch.testing.assert_close(after[1], mean, rtol=tolerance, atol=tolerance)
    assert torch.equal(after[0], state[0])

    config, _, _, _ = problem(generator, dtype, steps=2)
    step = record(make_step(config), *state, *batch)
    loop = compiled(step, state, tuple(batch))()
    (ours, losses), (theirs, expected) = loop(state, batches), repeated(step)(state, batches)
    assert losses.shape == (LENGTH + 7,)
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    torch.testing.assert_close(losses, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_a_compiled_loop_is_kept_and_a_damaged_one_made_again(generator, empty_cache, monkeypatch):
    needs_compiler()
    config, _, batch, state = problem(generator)
    step = record(make_step(config), *state, *batch)
    compiled(step, state, tuple(batch))
    (path,) = empty_cache.iterdir()
    good = path.read_bytes()
    batches = tuple(x.expand(LENGTH, *x.shape).contiguous() for x in batch)

    def again():  # in a fresh process, as a library that is in use can't be read again
        code = (
            "import sys, torch, l2l.compiler; from pathlib import Path;"
            f"sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_graph as t; torch.set_num_threads(1);"
            f"l2l.compiler.user_cache_path = lambda name: Path({str(empty_cache.parent)!r}) / name;"
            "c, _, b, s = t.problem(torch.Generator().manual_seed(7));"
            "f = l2l.compiler.compiled(t.record(t.make_step(c), *s, *b), s, tuple(b))();"
            "print(f(s, tuple(x.expand(50, *x.shape).contiguous() for x in b))[1].sum().item())"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=os.getcwd())
        assert result.returncode == 0, result.stderr
        return float(result.stdout)

    expected = repeated(step)(state, batches)[1].sum().item()
    before = path.stat().st_mtime_ns
    assert again() == pytest.approx(expected, rel=1e-9)
    assert path.stat().st_mtime_ns == before, "read, not compiled again"
    path.unlink()
    path.write_bytes(good[:1000])  # loading this one would end the process
    assert again() == pytest.approx(expected, rel=1e-9)
    (path,) = empty_cache.iterdir()
    assert path.stat().st_size > 1000
    other, _, batch, state = problem(generator, alpha=0.02)
    compiled(record(make_step(other), *state, *batch), state, tuple(batch))
    assert len(list(empty_cache.iterdir())) == 2, "another setting has a name of its own"


def test_compiled_loops_run_without_the_lock_of_python(generator, monkeypatch):
    """This thread runs while the other is inside the compiled function, and not only before and after it.

    The interpreter is told not to take the lock from a thread by itself. So between the two marks, which are made with
    the lock held, this thread comes in only if the function lets go of it.
    """
    needs_compiler()
    inside, calls = [], []

    class Watched(ctypes.CDLL):
        def __getattr__(self, name):
            function = super().__getattr__(name)
            if "Run" not in name:
                return function

            def watched(*args):
                calls.append(name)
                inside.append(name)
                status = function(*args)
                inside.clear()
                return status

            self.__dict__[name] = watched  # where ctypes keeps it
            return watched

    monkeypatch.setattr(ctypes, "CDLL", Watched)
    config, _, batch, state = problem(generator)
    loop = compiled(record(make_step(config), *state, *batch), state, tuple(batch))()
    batches = tuple(x.expand(10 * LENGTH, *x.shape).contiguous() for x in batch)
    stop = threading.Event()

    def work():
        for _ in range(300):  # one call may end before this thread wakes; not all three thousand
            if not stop.is_set():
                loop(state, batches)

    thread, interval, seen = threading.Thread(target=work), sys.getswitchinterval(), False
    sys.setswitchinterval(1e3)
    try:
        thread.start()
        while thread.is_alive() and not seen:
            seen = bool(inside)
            time.sleep(0)  # lets the other thread have the lock
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    assert calls
    assert seen, "the compiled function holds Python's lock"


def test_where_torch_lacks_the_means_the_step_alone_is_compiled(generator, monkeypatch):
    needs_compiler()
    config, _, batch, state = problem(generator)
    step = record(make_step(config), *state, *batch)

    def absent(*args):
        raise AttributeError("no such thing in this torch")

    monkeypatch.setattr(l2l.compiler, "_compiled_ahead", absent)
    loop = compiled(step, state, tuple(batch))()
    batches = tuple(x.expand(3, *x.shape) for x in batch)
    torch.testing.assert_close(loop(state, batches), repeated(step)(state, batches), rtol=1e-9, atol=1e-9)


def test_what_cannot_be_recorded_is_called(monkeypatch):
    def by_value(x):
        return x * 2 if x.sum() > 0 else x

    assert record(by_value, torch.ones(2)) is by_value
    monkeypatch.setattr(l2l.graph, "make_fx", None)
    assert record(torch.sin, torch.ones(2)) is torch.sin


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
    product = next(i for i, target in enumerate(called) if target in l2l.graph.PRODUCTS)
    assert (called.index(torch.ops.aten.mul.Tensor) > product) == moved


@pytest.mark.parametrize(
    ("a", "b", "view", "axes", "products"),
    [
        ((5, 4, 3), (5, 3, 6), (5, 4, 6), [0], ["mm"]),  # as vmap leaves a mean over tasks
        ((5, 3, 4), (5, 4, 6), (5, 3, 6), [0], ["mm"]),
        ((5, 3, 4), (5, 4, 6), (5, 3, 6), [1], ["bmm"]),
        ((5, 3, 4), (5, 4, 6), (5, 3, 6), [0, 1], ["bmm"]),
        ((6, 3, 4), (6, 4, 6), (3, 6, 6), [0], ["bmm"]),  # not the axis of the products any more
        ((3, 4), (4, 6), (3, 6), [0], ["mm"]),
    ],
)
def test_summed_products_are_one(generator, a, b, view, axes, products):
    a, b = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in (a, b))

    def total(a, b):
        return ((torch.bmm(a, b) if a.ndim == 3 else torch.mm(a, b)).view(view).sum(axes),)

    graph = record(total, a, b)
    calls = [node.target.__name__.split(".")[0] for node in graph.graph.nodes if node.op == "call_function"]
    assert [name for name in calls if "mm" in name] == products
    torch.testing.assert_close(graph(a, b)[0], total(a, b)[0], rtol=1e-13, atol=1e-13)


def test_a_product_used_twice_is_kept(generator):
    a, b = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((5, 3, 4), (5, 4, 6)))

    def both(a, b):
        product = torch.bmm(a, b).view(5, 3, 6)
        return product.sum([0]), product

    for ours, expected in zip(record(both, a, b)(a, b), both(a, b), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-13, atol=1e-13)


def test_flatten_and_unflatten(generator):
    theta = init_params((1, 3, 2, 1), generator=generator)
    vector = flatten(theta)
    assert torch.equal(vector[:9], torch.cat([theta["W1"][0], theta["b1"], theta["W2"][0], theta["W2"][1, :1]]))
    stacked = {k: torch.stack([p, 2 * p]) for k, p in theta.items()}
    back = unflatten(flatten(stacked), (1, 3, 2, 1))
    assert list(back) == list(theta)
    assert all(torch.equal(back[k], stacked[k]) for k in theta)
    with pytest.raises(ValueError, match="has 17 parameters, got 16"):
        unflatten(vector[:-1], (1, 3, 2, 1))
