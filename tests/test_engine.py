"""The fast engines: equal to naive loops, and broken on purpose in every way that was thought of."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch
from test_graph import naive_gradient, problem, recorded_step

from l2l import SineTasks
from l2l.engine import cache, loops, native
from l2l.engine.graph import record
from l2l.engine.loops import check_pure, compiled, lost, recorded, repeated
from l2l.engine.replica import rates
from l2l.net import flatten
from l2l.tasks import Batch


@pytest.fixture
def needs_compiler():
    if json.loads(os.environ.get("L2L_MACHINE", "{}")).get("engine") == "compiled":
        pytest.skip("this machine compiles each step alone")
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler here")
    if not hasattr(torch._inductor.config.aot_inductor, "precompile_headers"):
        pytest.skip("this torch compiles each step alone")


BUILT = []


def build_once(folder):
    """Compile each library once for all tests, as that takes ten seconds."""
    build = native._build

    def build_or_read(step, *parts):
        BUILT.append(path := folder / native._fingerprint(step, sum(parts, ())))
        if not path.exists():
            path.write_bytes(build(step, *parts))
        return path.read_bytes()

    native._build = build_or_read


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder, build = tmp_path_factory.mktemp("libraries"), native._build
    build_once(folder)
    yield folder
    native._build = build


@pytest.fixture
def empty_cache(tmp_path, monkeypatch, libraries):
    monkeypatch.setattr(cache, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "l2l"


def batches_of(number, generator, dtype="float64"):
    many = SineTasks().sample(3 * number, 5, 4, generator=generator, dtype=getattr(torch, dtype))
    return tuple(x.unflatten(0, (number, 3)) for x in many[:4])


def test_native_loop_equals_a_naive_loop(generator, needs_compiler, empty_cache):
    config, theta, batch, state = problem(generator, steps=2, beta=0.0)  # β = 0: always from θ
    engine = compiled(recorded_step(config, theta, batch, state), state, rates(config, "cpu"), batch)
    assert engine.name == "native"
    assert [path.suffix for path in empty_cache.iterdir()] == [".so"], "compiled ahead of time, and nothing left over"
    after = engine.one()(state, tuple(x.expand(50, *x.shape).contiguous() for x in batch))[0]
    grads, _ = naive_gradient(theta, batch, "maml", 0.01, 2)
    mean = flatten(grads) * (1 - 0.9**50)  # what Adam's first mean of a constant gradient becomes
    torch.testing.assert_close(after[1], mean, rtol=1e-10, atol=1e-10)
    assert torch.equal(after[0], state[0])


def test_native_loop_of_any_length_is_the_recorded_one_and_its_pieces_have_the_same_bits(
    generator, needs_compiler, empty_cache
):
    config, theta, batch, state = problem(generator, "float32", steps=2)
    step = recorded_step(config, theta, batch, state)
    loop = compiled(step, state, rates(config, "cpu"), batch).one()
    batches = batches_of(64, generator, "float32")
    whole, losses = loop(state, batches)
    expected_state, expected = repeated(step, rates(config, "cpu"))(state, batches)
    torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(whole, expected_state, rtol=1e-3, atol=1e-3)
    for lengths in ([1] * 64, [7] * 9 + [1], [63, 1], [30, 34]):
        pieces, now = [], state
        for piece in zip(*(x.split(lengths) for x in batches), strict=True):
            now, some = loop(now, tuple(x.contiguous() for x in piece))
            pieces.append(some)
        assert all(map(torch.equal, now, whole)), lengths
        assert torch.equal(torch.cat(pieces), losses)


def test_a_native_loop_refuses_what_it_would_read_wrongly(generator, needs_compiler, empty_cache):
    config, theta, batch, state = problem(generator)
    loop = compiled(recorded_step(config, theta, batch, state), state, rates(config, "cpu"), batch).one()
    batches = batches_of(4, generator)
    wrong = {
        "float32": (state, tuple(x.float() for x in batches)),
        "strides": (state, tuple(x.transpose(0, 1).contiguous().transpose(0, 1) for x in batches)),
        rf"shape \({len(state[0]) - 1},\)": ((state[0][:-1], *state[1:]), batches),
        "meta": (state, tuple(x.to("meta") for x in batches)),
        "at least one batch": (state, tuple(x[:0] for x in batches)),
    }
    for match, given in wrong.items():
        with pytest.raises(ValueError, match=match):
            loop(*given)


IN_A_FRESH_PROCESS = """
import sys, torch, warnings
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_engine, test_graph as t
from l2l.engine import cache, loops
test_engine.build_once(Path({libraries!r}))
torch.set_num_threads(1)
cache.user_cache_path = lambda name: Path({folder!r}) / name
config, theta, batch, state = t.problem(torch.Generator().manual_seed(7))
engine = loops.compiled(t.recorded_step(config, theta, batch, state), state, t.rates(config, "cpu"), batch)
losses = engine.one()(state, tuple(x.expand(50, *x.shape).contiguous() for x in batch))[1]
print(engine.name, len(test_engine.BUILT), losses.sum().item())
"""


def again(folder, libraries):
    """Engine and losses of a process of its own, as a library that is in use can't be read again."""
    code = IN_A_FRESH_PROCESS.format(tests=str(Path(__file__).parent), folder=str(folder), libraries=str(libraries))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=os.getcwd())
    assert result.returncode == 0, result.stderr
    name, built, losses = result.stdout.split()
    return name, int(built), float(losses), result.stderr


def test_a_native_loop_is_kept_and_a_damaged_or_foreign_one_made_again(
    generator, needs_compiler, empty_cache, tmp_path, libraries
):
    config, theta, batch, state = problem(generator)
    step = recorded_step(config, theta, batch, state)
    expected = repeated(step, rates(config, "cpu"))(state, tuple(x.expand(50, *x.shape) for x in batch))[1].sum().item()

    def loads_rightly(built):
        assert again(tmp_path, libraries) == ("native", built, pytest.approx(expected, rel=1e-9), "")
        (kept,) = empty_cache.iterdir()
        return kept

    loads_rightly(built=1)
    path = loads_rightly(built=0)
    good = path.read_bytes()
    path.write_bytes(good[:1000])  # loading this one would end the process
    assert loads_rightly(built=1).read_bytes() == good
    foreign = Path(torch._C.__file__).read_bytes()
    path.rename(path.with_stem(f"{path.stem.partition('-')[0]}-{cache.digest(foreign)}")).write_bytes(foreign)
    assert loads_rightly(built=1).read_bytes() == good


def test_another_rate_needs_no_other_library(generator, needs_compiler, empty_cache):
    for settings in ({}, {"alpha": 0.03, "beta": 0.1}, {"alpha": 0.0}):
        config, theta, batch, state = problem(torch.Generator().manual_seed(7), **settings)
        step = recorded_step(config, theta, batch, state)
        loop = compiled(step, state, rates(config, "cpu"), batch).one()
        assert len(list(empty_cache.iterdir())) == 1
        batches = batches_of(3, generator)
        grads, value = naive_gradient(theta, Batch(*(x[0] for x in batches)), "maml", config.alpha, 1)
        after, losses = loop(state, tuple(x[:1].contiguous() for x in batches))
        torch.testing.assert_close(losses[0], value)
        torch.testing.assert_close(after[1], 0.1 * flatten(grads))
        torch.testing.assert_close(loop(state, batches), repeated(step, rates(config, "cpu"))(state, batches))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners and modes here")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_cache_to_which_others_may_write_is_left_alone(empty_cache, mode):
    empty_cache.mkdir()
    empty_cache.chmod(mode)
    with pytest.warns(RuntimeWarning, match="others may write to it"):
        assert cache._folder() is None


def test_an_account_without_a_home_or_a_folder_that_is_a_file_has_no_cache(empty_cache, monkeypatch):
    empty_cache.write_text("")
    with pytest.warns(RuntimeWarning, match="not kept for the next time.*exists"):
        assert cache._folder() is None

    def homeless(name):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache, "user_cache_path", homeless)
    with pytest.warns(RuntimeWarning, match="not kept for the next time.*home directory"):
        assert cache._folder() is None


def test_without_a_cache_the_loop_is_native_still(generator, needs_compiler, monkeypatch, tmp_path, libraries):
    (tmp_path / "l2l").write_text("")
    monkeypatch.setattr(cache, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    config, theta, batch, state = problem(generator)
    step = recorded_step(config, theta, batch, state)
    with pytest.warns(RuntimeWarning, match="not kept for the next time"):
        engine = compiled(step, state, rates(config, "cpu"), batch)
    assert engine.name == "native"
    assert not list((tmp_path / "temporary").glob("l2l-*")), "its file is gone"
    batches = batches_of(3, generator)
    torch.testing.assert_close(
        engine.one()(state, batches), repeated(step, rates(config, "cpu"))(state, batches), rtol=1e-9, atol=1e-9
    )


def test_the_cache_is_bounded(empty_cache):
    empty_cache.mkdir(mode=0o700)
    for i in range(cache.KEPT + 9):
        path = cache._keep(empty_cache, f"key{i}", b"%d" % i)
        os.utime(path, (i, i))
    kept = {int(path.read_bytes()) for path in empty_cache.iterdir()}
    assert kept == set(range(9, cache.KEPT + 9)), "those used last"


def wrong_number(monkeypatch, _):
    """What a compiler that errs would make: the step with a slightly larger loss."""
    larger = {"loss": lambda outputs, y: 1.001 * ((outputs - y) ** 2).mean()}
    other, build = recorded_step(*problem(torch.Generator().manual_seed(7), **larger)), native._build
    monkeypatch.setattr(native, "_build", lambda step, *example: build(other, *example))


def wrong_products(monkeypatch, folder):
    """Products of our own that err, which shows also that the compiled loop calls them."""
    text = native.PRODUCTS.read_text()
    assert "sum[r][u] += *p.a" in text
    (folder / "products.h").write_text(text.replace("sum[r][u] += *p.a", "sum[r][u] -= *p.a"))
    monkeypatch.setattr(native, "PRODUCTS", folder / "products.h")


BREAKAGES = {
    "a renamed private key": (
        lambda patch, _: patch.setitem(native.COMPILER, "aot_inductor.no_such_key", True),
        "no_such_key",
    ),
    "a private function that is gone": (
        lambda patch, _: patch.delattr(torch._C._aoti, "unsafe_alloc_void_ptrs_from_tensors"),
        "unsafe_alloc_void_ptrs_from_tensors",
    ),
    "a library that lacks a symbol": (lambda patch, _: patch.setattr(native, "RUN", "NoSuchSymbol"), "NoSuchSymbol"),
    "a wrong number": (wrong_number, r"differs from the recorded step by \S+, where rounding explains"),
    "a wrong product": (wrong_products, r"differs from the recorded step by \S+, where rounding explains"),
    "a compiler that fails": (
        lambda patch, _: patch.setitem(native.COMPILER, "cpp.cxx", (None, "/bin/false")),
        "no compiled loop: ",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_native_loop_is_not_used_and_says_why(
    generator, needs_compiler, empty_cache, monkeypatch, tmp_path, breakage
):
    monkeypatch.delenv("L2L_STRICT", raising=False)
    config, theta, batch, state = problem(generator)
    step = recorded_step(config, theta, batch, state)
    plant, reason = BREAKAGES[breakage]
    plant(monkeypatch, tmp_path)
    made = {}
    monkeypatch.setattr(loops, "compile_step", lambda step, *example: made.setdefault("compiled", step))
    with pytest.warns(RuntimeWarning, match=f"training runs on the compiled engine.*{reason}") as warned:
        engine = compiled(step, state, rates(config, "cpu"), batch)
    assert engine.name == "compiled"
    assert len(warned) == 1, "said once"
    assert not list(empty_cache.glob("*")), "nothing is kept"
    batches = batches_of(3, generator)
    torch.testing.assert_close(
        engine.one()(state, batches), repeated(step, rates(config, "cpu"))(state, batches), rtol=1e-9, atol=1e-9
    )

    monkeypatch.setenv("L2L_STRICT", "1")
    with pytest.raises(RuntimeError, match=f"training runs on the compiled engine.*{reason}"):
        compiled(step, state, rates(config, "cpu"), batch)


def test_an_operation_without_a_c_form_is_compiled_otherwise(generator, needs_compiler, empty_cache, monkeypatch):
    monkeypatch.delenv("L2L_STRICT", raising=False)

    @torch.library.custom_op("l2l_tests::halved", mutates_args=())
    def halved(x: torch.Tensor) -> torch.Tensor:
        return x / 2

    halved.register_fake(torch.empty_like)
    state, batch = (torch.ones(4),), (torch.full((4,), 3.0),)
    step = record(lambda theta, x: (theta - halved(x), x.sum()), *state, *batch)
    with pytest.warns(RuntimeWarning, match="an operation of the step has no C\\+\\+ form"):
        engine = compiled(step, state, (), batch)
    (theta,), outputs = engine.one()(state, (batch[0].expand(2, 4),))
    assert torch.equal(theta, torch.full((4,), -2.0))
    assert torch.equal(outputs, torch.full((2,), 12.0))
    assert not list(empty_cache.glob("*"))


def test_a_step_that_torch_compile_gets_wrong_is_replayed(generator, monkeypatch):
    monkeypatch.delenv("L2L_STRICT", raising=False)
    config, theta, batch, state = problem(generator)
    step = recorded_step(config, theta, batch, state)

    def no_loop(*_):
        raise native.Unavailable("none here")

    def wrong(step, *_):
        return lambda theta, *rest: step(theta * 1.0001, *rest)

    monkeypatch.setattr(loops, "NativeLoop", no_loop)
    monkeypatch.setattr(loops, "compile_step", wrong)
    with pytest.warns(RuntimeWarning) as warned:
        engine = compiled(step, state, rates(config, "cpu"), batch)
    assert [str(w.message).split(" and")[0] for w in warned] == [
        f"training runs on the {name} engine" for name in ("compiled", "recorded")
    ]
    assert "differs from the recorded step" in str(warned[1].message)
    batches = batches_of(3, generator)
    assert engine.name == "recorded"
    assert torch.equal(engine.one()(state, batches)[1], repeated(step, rates(config, "cpu"))(state, batches)[1])


def test_where_there_is_no_native_loop_the_step_alone_is_compiled(generator, needs_compiler, monkeypatch):
    monkeypatch.delenv("L2L_STRICT", raising=False)
    config, theta, batch, state = problem(generator)
    step = recorded_step(config, theta, batch, state)
    monkeypatch.setattr(native.cache, "load", None)
    with pytest.warns(RuntimeWarning, match="training runs on the compiled engine"):
        engine = compiled(step, state, rates(config, "cpu"), batch)
    assert engine.name == "compiled"
    batches = batches_of(3, generator)
    torch.testing.assert_close(
        engine.one()(state, batches), repeated(step, rates(config, "cpu"))(state, batches), rtol=1e-9, atol=1e-9
    )


def test_what_cannot_be_recorded_is_called(monkeypatch):
    monkeypatch.delenv("L2L_STRICT", raising=False)

    def by_value(x):
        return (x * 2 if x.sum() > 0 else x,)

    function, reason = recorded([by_value], (torch.ones(2),))
    assert function == by_value
    with pytest.warns(RuntimeWarning, match=r"training runs on the called engine.*can't be recorded: .*[.!]$"):
        lost("training", "called", reason)
    monkeypatch.setenv("L2L_STRICT", "1")
    with pytest.raises(RuntimeError, match="can't be recorded"):
        lost("training", "called", reason)


def test_a_step_must_be_made_of_pure_functions():
    def in_place(x):
        return (x.mul_(2),)

    def random(x):
        return (x + torch.randn_like(x),)

    def by_value_in_place(x):
        return (x.mul_(2) if x.sum() > 0 else x,)

    for function in (in_place, by_value_in_place):
        with pytest.raises(ValueError, match="^ours must return new tensors"):
            check_pure("ours", function, (torch.ones(2),))
    with pytest.raises(ValueError, match=r"^ours must be a function of its arguments, but is random"):
        check_pure("ours", random, (torch.ones(2),))
    assert check_pure("ours", lambda x: (x / 0 - x / 0,), (torch.ones(2),))[0].isnan().all()  # that is no randomness
    undefined, reason = recorded([lambda x: (x / 0 - x / 0,)], (torch.ones(2),))  # that is no randomness
    assert reason is None
    assert undefined(torch.ones(2))[0].isnan().all()


def test_compiling_leaves_the_warnings_filters_of_others(generator, needs_compiler, empty_cache):
    config, theta, batch, state = problem(generator)
    with warnings.catch_warnings():
        before = list(warnings.filters)
        compiled(recorded_step(config, theta, batch, state), state, rates(config, "cpu"), batch)
        assert [f for f in warnings.filters if f not in before] == []


def test_native_loops_run_without_the_lock_of_python(generator, needs_compiler, monkeypatch):
    """This thread runs while the other is inside the compiled function, and not only before and after it.

    The interpreter is told not to take the lock from a thread by itself. So between the two marks, which are made with
    the lock held, this thread comes in only if the function lets go of it.
    """
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
    config, theta, batch, state = problem(generator)
    loop = compiled(recorded_step(config, theta, batch, state), state, rates(config, "cpu"), batch).one()
    batches = tuple(x.expand(500, *x.shape).contiguous() for x in batch)
    stop = threading.Event()

    def work():
        for _ in range(300):  # one call may end before this thread wakes; not all three hundred
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
