import importlib
import io
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import l2l
import l2l.engine.workers
from l2l import (
    METHODS,
    MLP,
    Run,
    SineTasks,
    TrainConfig,
    adaptation_curve,
    init_params,
    initial_gradient_norm,
    train,
)
from l2l.config import HELD_OUT_TASKS
from l2l.engine.workers import Workers
from l2l.tasks import HELD_OUT, TRAIN, by_rows, stream

engine = importlib.import_module("l2l.training")  # the name l2l.train is the function
SMALL = TrainConfig(iterations=60, tasks=4, shots=5, query=6, sizes=(1, 8, 1), log_every=25, checkpoint_at=(0, 10, 60))


def assert_same(run, other):
    assert run.config == other.config
    assert run.iteration == other.iteration
    for ours, theirs in ((run.theta, other.theta), (run.history, other.history)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert run.checkpoints.keys() == other.checkpoints.keys()
    for i, params in run.checkpoints.items():
        assert all(torch.equal(params[k], other.checkpoints[i][k]) for k in params)


@pytest.mark.parametrize("method", METHODS)
def test_equals_a_plain_loop_with_torch_adam(method):
    config = replace(SMALL, method=method, dtype="float64", iterations=30, checkpoint_at=(0, 30), seeds=(5,))
    run = train(config)
    theta = init_params((1, 8, 1), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    assert all(torch.equal(theta[k], run.checkpoints[0][k][0]) for k in theta)
    tasks, leaves = stream(TRAIN, 5), {k: p.clone().requires_grad_() for k, p in theta.items()}
    optimiser = torch.optim.Adam(leaves.values(), lr=1e-3)
    for _ in range(30):
        batch = SineTasks().sample(4, 5, 6, generator=tasks, dtype=torch.float64)
        for leaf, g in zip(
            leaves.values(), METHODS[method](leaves, batch, alpha=0.01, steps=1).grads.values(), strict=True
        ):
            leaf.grad = g.detach()
        optimiser.step()
    for k, leaf in leaves.items():
        torch.testing.assert_close(run.theta[k][0], leaf.detach(), rtol=1e-10, atol=1e-12)


def test_history_and_checkpoints():
    run = train(replace(SMALL, seeds=(0, 3)))
    assert run.history["iteration"].tolist() == [0, 25, 50, 60]
    assert list(run.checkpoints) == [0, 10, 60]
    held_out = SineTasks().sample(HELD_OUT_TASKS, 5, 6, generator=stream(HELD_OUT, 0))
    for log, theta in ((0, run.checkpoints[0]), (-1, run.theta)):
        for r in (0, 1):
            replica = {k: p[r] for k, p in theta.items()}
            norm = initial_gradient_norm(replica, held_out).mean()
            torch.testing.assert_close(run.history["initial_gradient_norm"][log, r], norm)
            loss = METHODS["maml"](replica, held_out, alpha=0.01, steps=1).loss
            torch.testing.assert_close(run.history["loss"][log, r], loss)
    assert all(torch.equal(run.checkpoints[60][k], run.theta[k]) for k in run.theta)
    assert all(torch.equal(run.replica(1)[k], run.theta[k][1]) for k in run.theta)
    with pytest.raises(IndexError, match="one of 2 replicas, got 2"):
        run.replica(2)


def test_methods_share_initialisation_and_tasks(monkeypatch):
    seen, sample = {}, SineTasks.sample

    def spy(self, *args, **kwargs):
        batch = sample(self, *args, **kwargs)
        seen.setdefault(method, []).append(batch)
        return batch

    monkeypatch.setattr(SineTasks, "sample", spy)
    starts = []
    for method in METHODS:
        starts.append(train(replace(SMALL, method=method)).checkpoints[0])
    assert all(torch.equal(starts[0][k], other[k]) for other in starts[1:] for k in starts[0])
    for batches in zip(*seen.values(), strict=True):
        assert all(torch.equal(batches[0].y_query, other.y_query) for other in batches[1:])


def test_a_replica_equals_its_solo_run():
    together = train(replace(SMALL, seeds=(4, 1, 9)))
    for r, seed in enumerate((4, 1, 9)):
        alone = train(replace(SMALL, seeds=(seed,)))
        assert all(torch.equal(together.theta[k][r], alone.theta[k][0]) for k in alone.theta)
        assert torch.equal(together.history["loss"][:, r], alone.history["loss"][:, 0])


def test_the_engine_does_not_depend_on_the_number_of_seeds(monkeypatch):
    used = []
    monkeypatch.setattr(Workers, "compile", lambda self: used.append(self))
    monkeypatch.setattr(engine, "COMPILE_FROM", 100)
    train(replace(SMALL, seeds=(0, 1, 2)))  # 60 iterations, 180 updates
    assert not used
    train(replace(SMALL, iterations=100))
    assert len(used) == 1


@pytest.mark.parametrize("compile", [False, True])
def test_workers_do_not_change_the_result(compile):
    train_ = compiled_or_skip if compile else train
    config = replace(SMALL, seeds=(4, 1, 9), iterations=130, checkpoint_at=(0, 130))
    assert_same(train_(config, workers=1), train_(config, workers=3))


@pytest.mark.parametrize(("workers", "error"), [(0, ValueError), (1.5, TypeError)])
def test_bad_workers(workers, error):
    with pytest.raises(error, match="workers must be"):
        train(SMALL, workers=workers)


@pytest.mark.parametrize("compile", [False, True])
def test_blocks_and_logging_do_not_change_the_result(monkeypatch, compile):
    train_ = compiled_or_skip if compile else train
    config = replace(SMALL, iterations=260, log_every=250, checkpoint_at=())
    run = train_(config)
    for log_every in (1, 7, 30, 40, 1000):
        other = train_(replace(config, log_every=log_every))
        assert all(torch.equal(run.theta[k], other.theta[k]) for k in run.theta), log_every
        assert other.engine == run.engine
    monkeypatch.setattr(engine, "BLOCK", 7)
    other = train_(replace(config, checkpoint_at=(3, 64)))
    assert all(torch.equal(run.theta[k], other.theta[k]) for k in run.theta)


def test_same_seed_same_run_and_global_state_untouched():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert_same(train(SMALL), train(SMALL))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def compiled_or_skip(config, **options):
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler here")
    return train(config, compile=True, **options)


def test_compiled_stays_close_to_eager_and_replicas_to_themselves():
    config = replace(SMALL, iterations=100, checkpoint_at=(), seeds=(3, 0))
    run, eager = compiled_or_skip(config), train(config, compile=False)
    alone = compiled_or_skip(replace(config, seeds=(0,)))
    for k in eager.theta:
        torch.testing.assert_close(run.theta[k], eager.theta[k], rtol=1e-3, atol=1e-3)
        assert torch.equal(run.theta[k][1], alone.theta[k][0])


@pytest.mark.parametrize("method", ["fomaml", "pretrain"])  # MAML at this schedule: the chapter on it asserts as much
def test_full_schedule(method):
    run = train(TrainConfig(method=method, iterations=15_000, seeds=(0, 1, 2)))
    batch = SineTasks().sample(1000, 10, 50, generator=torch.Generator().manual_seed(99))
    curves = [adaptation_curve(run.replica(r), batch, alpha=0.01, steps=10).query.mean(dim=1) for r in range(3)]
    query = torch.stack(curves).median(dim=0).values  # [steps+1]: mean over tasks, median over seeds
    if method == "fomaml":
        assert query[1] < 0.75
        assert query[10] < 0.28
    else:
        one_curve = ((batch.y_query - SineTasks().conditional_mean(batch.x_query)) ** 2).mean()
        assert one_curve < query[0] < one_curve + 0.25
        assert abs(query[0] - SineTasks().joint_mse_floor()) < 0.5
        assert 1.2 < query[10] < 2.3


def test_without_a_compiler_it_warns_once_and_trains(tmp_path):
    code = """if True:
        import warnings, torch, l2l
        config = l2l.TrainConfig(iterations=60, sizes=(1, 8, 8, 1), seeds=(0, 1))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = l2l.train(config, compile=True)
        print(*(w.message for w in caught), sep="\\n")
        eager = l2l.train(config, compile=False)
        assert all(torch.equal(p, eager.theta[n]) for n, p in run.theta.items())
    """
    hidden = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=hidden, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    warnings = done.stdout.splitlines()
    assert len(warnings) == 2, warnings
    native, alone = warnings
    assert native.startswith("training runs on the compiled engine and is several times slower")
    assert alone.startswith("training runs on the recorded engine and is several times slower")
    assert "compiler" in native


@pytest.mark.parametrize("method", METHODS)
def test_each_method_lowers_its_own_loss(method):
    run = train(TrainConfig(method=method, iterations=400, sizes=(1, 20, 20, 1)))
    assert run.history["loss"][-1] < 0.9 * run.history["loss"][0]


def test_divergence_is_reported_and_the_checkpoint_kept(tmp_path, monkeypatch):
    out, seen = tmp_path / "run.safetensors", []
    monkeypatch.setattr(engine, "BLOCK", 10)
    monkeypatch.setattr(engine, "SAVE_EVERY", 0.0)
    poisoned = SineTasks.sample

    @by_rows
    def sample(self, tasks, shots, query, *, generator, **kwargs):
        batch = poisoned(self, tasks, shots, query, generator=generator, **kwargs)
        if 4 < tasks < 200:  # a training block, not the example of one batch
            seen.append(tasks)
            if len(seen) == 6:  # blocks alternate between two seeds: the third block of the second seed
                batch.y_query[4 * 4] = math.nan
        return batch

    monkeypatch.setattr(SineTasks, "sample", sample)
    with pytest.raises(FloatingPointError, match="diverged at iteration 25, seed 8: the loss is nan"):
        train(replace(SMALL, seeds=(2, 8)), out=out, workers=1)
    assert Run.load(out).iteration == 20
    assert all(p.isfinite().all() for p in Run.load(out).theta.values())


def test_a_real_divergence(tmp_path):
    with pytest.raises(FloatingPointError, match="diverged at iteration"):
        train(replace(SMALL, alpha=1e25, steps=3), out=tmp_path / "run.safetensors")


class Stop(KeyboardInterrupt):
    pass


def test_overflow_of_the_parameters_is_divergence_too():
    with pytest.raises(FloatingPointError, match="iteration 1, seed 0: .* the optimiser's state overflowed"):
        train(replace(SMALL, iterations=1, checkpoint_at=(), beta=1e39))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_shows_iterations_rate_and_loss_on_a_terminal_only(monkeypatch):
    for stream_, progress, shown in (
        (Terminal(), True, True),
        (Terminal(), False, False),
        (io.StringIO(), True, False),
    ):
        monkeypatch.setattr("sys.stderr", stream_)
        monkeypatch.setattr(engine, "BLOCK", 10)
        train(SMALL, progress=progress)
        text = stream_.getvalue()
        assert bool(text) is shown
        if shown:
            assert all(part in text for part in ("maml", "/60", "it/s", "loss ", "<"))


def test_progress_may_be_a_function_of_the_run_so_far(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr(engine, "BLOCK", 20)
    seen = []
    assert_same(train(SMALL, progress=seen.append), train(SMALL, progress=False))
    assert [run.iteration for run in seen] == [0, 10, 20, 25, 40, 50, 60]
    assert [run.history["iteration"].tolist()[-1] for run in seen] == [0, 0, 0, 25, 25, 50, 60]
    assert_same(seen[-1], train(SMALL, progress=False))
    assert sys.stderr.getvalue() == ""


def test_an_exception_in_progress_stops_training_and_keeps_what_is_there(tmp_path, monkeypatch):
    def stop(run):
        if run.iteration == stops_at:
            raise Stop

    monkeypatch.setattr(engine, "BLOCK", 20)
    for stops_at in (0, 40):
        out = tmp_path / f"{stops_at}.safetensors"
        with pytest.raises(Stop):
            train(SMALL, progress=stop, out=out)
        assert Run.load(out).iteration == stops_at
        assert_same(train(SMALL, out=out, resume=True), train(SMALL))


@pytest.mark.parametrize("compile", [False, True])
def test_interruption_keeps_a_checkpoint_and_resume_continues(tmp_path, monkeypatch, compile):
    train_ = compiled_or_skip if compile else train
    out, config = tmp_path / "run.safetensors", replace(SMALL, seeds=(0, 1))
    monkeypatch.setattr(engine, "BLOCK", 10)
    uninterrupted = train_(config)
    advance = l2l.engine.workers.advance
    calls = []

    def stop_later(*args):
        calls.append(1)
        if len(calls) == 8:  # the second seed of the fourth block
            raise Stop
        return advance(*args)

    monkeypatch.setattr(l2l.engine.workers, "advance", stop_later)
    with pytest.raises(Stop):
        train_(config, out=out)
    assert 0 < Run.load(out).iteration < 60
    part = Run.load(out)
    part.save(tmp_path / "copy.safetensors")  # holds no state of the optimiser
    with pytest.raises(ValueError, match="can't be resumed: it holds no state of the optimiser"):
        train(config, out=tmp_path / "copy.safetensors", resume=True)
    monkeypatch.setattr(l2l.engine.workers, "advance", advance)
    assert_same(train_(config, out=out, resume=True), uninterrupted)
    assert_same(Run.load(out), uninterrupted)
    monkeypatch.setattr(l2l.engine.workers, "advance", stop_later)  # a finished run is not trained again
    assert_same(train(config, out=out, resume=True), uninterrupted)


def test_resume_trains_for_longer(tmp_path):
    """To the bits of one that was asked for more from the start; what was logged at the earlier end alone goes."""
    out, short = tmp_path / "run.safetensors", replace(SMALL, checkpoint_at=(0, 10))
    train(short, out=out)
    longer = replace(SMALL, iterations=110, checkpoint_at=(0, 10, 100))
    assert_same(train(longer, out=out, resume=True), train(longer))
    assert_same(Run.load(out), train(longer))
    with pytest.raises(ValueError, match="it has 110 iterations, more than 60"):
        train(short, out=out, resume=True)
    with pytest.raises(ValueError, match=r"its checkpoint_at is \[0, 10, 100\], not \[0, 10, 50, 100\]"):
        train(replace(longer, iterations=150, checkpoint_at=(0, 10, 50, 100)), out=out, resume=True)


def test_resume_needs_the_same_config(tmp_path):
    out = tmp_path / "run.safetensors"
    train(SMALL, out=out)
    with pytest.raises(ValueError, match=r"its alpha is 0.01, not 0.02"):
        train(replace(SMALL, alpha=0.02), out=out, resume=True)
    with pytest.raises(ValueError, match=r"its seeds is \[0\], not \[1\]|its seeds is \(0,\), not \(1,\)"):
        train(replace(SMALL, seeds=(1,)), out=out, resume=True)
    with pytest.raises(ValueError, match="its phase is"):
        train(SMALL, SineTasks(phase=(0, 1)), out=out, resume=True)
    with pytest.raises(ValueError, match="choose one"):
        train(TrainConfig(iterations=1), out=tmp_path / "run.safetensors", resume=True, overwrite=True)
    with pytest.raises(ValueError, match="resume=True needs out"):
        train(SMALL, resume=True)


def test_out_is_checked_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(l2l.engine.workers, "advance", None)
    with pytest.raises(OSError, match="out can't be written"):
        train(SMALL, out=tmp_path / "file" / "run.safetensors")
    with pytest.raises(OSError, match="out must be an ordinary file"):
        train(SMALL, out=tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="out must be an ordinary file"):
        train(SMALL, out=tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


KILLED = """
import builtins, importlib, os, signal, sys
import l2l.run, l2l.engine.workers
from l2l.cli import main

importlib.import_module("l2l.training").SAVE_EVERY = 0.0  # after every block
place, left = sys.argv.pop(1), int(sys.argv.pop(1))

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

def at_last(then, now):
    def counted(*args, **kwargs):
        global left
        left -= 1
        return (then if left else now)(*args, **kwargs)
    return counted

def half_written(tensors, metadata):
    whole = save(tensors, metadata)
    return whole[: len(whole) // 2]

save = l2l.run.save
if place == "in a block":
    l2l.engine.workers.advance = at_last(l2l.engine.workers.advance, die)
    left += 3  # a block has been saved before the fifth begins
elif place == "half of the file written":
    os.fsync = at_last(os.fsync, die)
    l2l.run.save = at_last(save, half_written)
    left *= 2
elif place == "written, and not in place":
    os.fsync = at_last(os.fsync, die)
elif place == "in place":
    replace = os.replace
    os.replace = at_last(replace, lambda *paths: (replace(*paths), die()))
sys.exit(main())
"""


@pytest.fixture(scope="module")
def uninterrupted():
    return train(TrainConfig(iterations=350, seeds=(0, 3), tasks=5, checkpoint_at=range(0, 350, 50)))


@pytest.mark.parametrize("place", ["in a block", "half of the file written", "written, and not in place", "in place"])
def test_sigkill_then_resume_gives_the_same_bits(tmp_path, place, uninterrupted):
    """The process kills itself, twice, the second time further on; 7 blocks of 2 seeds are to be done."""
    out = tmp_path / "run.safetensors"
    options = ["--iterations", "350", "--seeds", "0,3", "--tasks", "5", "--resume"]
    options += ["--checkpoint-at", ",".join(map(str, range(0, 350, 50)))]

    def start(*how):
        command = [sys.executable, *how, "train", "maml", *options, "--out", out]
        return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode

    reached = []
    for times in (1, 3):
        assert start("-c", KILLED, place, str(times)) == -signal.SIGKILL
        reached.append(Run.load(out).iteration if out.exists() else 0)
    assert reached == sorted(reached)
    assert 0 < reached[-1] < 350
    assert start("-m", "l2l") == 0
    assert_same(Run.load(out), uninterrupted)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".safetensors"] == ["run.safetensors"]


def named_as_ours(outputs, y):
    return (outputs - y).abs().mean()


named_as_ours.__name__ = "mse"


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"method": "reptile"}, ValueError, "method must be one of maml, fomaml, pretrain, or a Method, got 'reptile'"),
        ({"method": l2l.fomaml}, TypeError, "method must be one of maml, fomaml, pretrain, or a Method, got <function"),
        ({"method": l2l.Method("maml", l2l.fomaml)}, ValueError, "method must not have the name of a built-in one"),
        ({"iterations": 0}, ValueError, "iterations must be at least 1, got 0"),
        ({"tasks": 0}, ValueError, "tasks must be at least 1"),
        ({"shots": -3}, ValueError, "shots must be at least 1, got -3"),
        ({"query": 0}, ValueError, "query must be at least 1"),
        ({"iterations": 1.5}, TypeError, "iterations must be a whole number, got 1.5"),
        ({"alpha": -0.01}, ValueError, "alpha must be a finite number, not negative, got -0.01"),
        ({"alpha": math.nan}, ValueError, "alpha .* got nan"),
        ({"beta": math.inf}, ValueError, "beta .* got inf"),
        ({"beta": "0.1"}, TypeError, "beta must be a number, got '0.1'"),
        ({"steps": -1}, ValueError, "steps must be at least 0"),
        ({"log_every": 0}, ValueError, "log_every must be at least 1"),
        ({"sizes": (1,)}, ValueError, "sizes must name an input and an output width"),
        ({"network": "resnet"}, TypeError, "network must be an MLP or a Network"),
        ({"network": MLP(), "sizes": (1, 3, 1)}, ValueError, "sizes must be left out"),
        ({"loss": "hinge"}, ValueError, "loss must be one of mse, cross_entropy, or a function .*, got 'hinge'"),
        ({"loss": torch.nn.MSELoss}, TypeError, "loss must be one of .* or a function .*, got <class"),
        ({"loss": l2l.mse}, TypeError, r"loss must be a function \(outputs, y\) -> scalar, got mse"),
        ({"loss": named_as_ours}, ValueError, "loss must not have the name of a built-in one, got mse"),
        ({"optimizer": "lion"}, ValueError, "optimizer must be one of adam, or an Optimizer, got 'lion'"),
        ({"optimizer": torch.optim.SGD}, TypeError, "optimizer must be one of adam, or an Optimizer, got <class"),
        ({"alpha": (0.1, -0.1)}, ValueError, "each of alpha must be a finite number, not negative, got -0.1"),
        ({"alpha": ()}, ValueError, "alpha must hold at least one rate"),
        ({"sizes": 40}, TypeError, "sizes must be a sequence"),
        ({"seeds": (1, 2, 1)}, ValueError, r"seeds must be distinct .* got \(1, 2, 1\)"),
        ({"seeds": ()}, ValueError, "seeds must be distinct and there must be at least one"),
        ({"seeds": (-1,)}, ValueError, "each of seeds must be at least 0, got -1"),
        ({"seeds": (2**32,)}, ValueError, "seeds must be below"),
        ({"checkpoint_at": (20_000,)}, ValueError, "checkpoint_at must not exceed iterations = 15000"),
        ({"dtype": "float16"}, ValueError, "dtype must be one of float32, float64"),
    ],
)
def test_bad_config(setting, error, message):
    with pytest.raises(error, match=message):
        TrainConfig(**setting)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_trains_on_cuda():
    torch.testing.assert_close(train(SMALL, device="cuda").theta, train(SMALL).theta, rtol=1e-3, atol=1e-3)
