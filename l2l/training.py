"""The outer loop: trains any method, a replica for each seed, on all cores, compiled where that pays off."""

import builtins
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from l2l._interrupts import Interrupts
from l2l._validation import one_of, whole
from l2l.config import TrainConfig
from l2l.engine.distributed import RankLost, ranks
from l2l.engine.replica import Replica, first_replica, pack, unpack
from l2l.engine.workers import Advanced, Block, Workers, cores, one_thread, plain_modes
from l2l.net import flatten, unflatten
from l2l.run import Run, check_names, described, only_writer, plain, read_run, write_run
from l2l.tasks import SineTasks, TaskFamily, check_family

COMPILE_FROM = 5_000
"""Number of iterations from which a run is compiled. Compiling takes 10 to 30 seconds the first time, which pays off
within this run or the next; a shorter run replays the recorded step. The number of seeds plays no part, so that a
replica is computed exactly as in a run of its seed alone."""
BLOCK = 250
"""Updates between two checks of progress, divergence and the time since the last save."""
SHARDS = "seeds", "tasks"
"""What several processes may divide."""
MADE = "theta", "history", "checkpoints", "iteration", "engine"
"""Fields of a `Run` that training fills in."""
SAVE_EVERY = 1.0
"""Minimum time between two checkpoints on disk, in seconds."""


def train(
    config: TrainConfig,
    task_family: TaskFamily = SineTasks(),  # noqa: B008 (frozen)
    *,
    progress: bool | Callable[[Run], object] = True,
    out: str | os.PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str | torch.device = "cpu",
    compile: bool | None = None,
    workers: int | None = None,
    shard: str = "seeds",
) -> Run:
    """Train a method on a stream of tasks, one replica for each seed::

        g = method(θ, batch).grads,    θ ← optimiser(θ, g, rate β)      for each batch

    For one seed all methods start from the same θ and see the same tasks in the same order. A replica
    equals the run of its seed alone, bit for bit, for any number of workers and any `log_every`.

    Args:
        config: what to train, and how.
        task_family: where tasks come from; any `TaskFamily`.
        progress: whether to show a progress bar, in a terminal or a notebook; or a function that is called instead with
            the Run so far: before the first update, and again at least every BLOCK updates and at every entry of the
            history. An exception raised by this function ends training: `out` is written, and `train` re-raises it.
        out: file to which the run is written, and during training its checkpoints: at most one a second, and one at the
            end, each atomically replacing the one before. Meanwhile a file `.NAME.lock` beside `out` keeps other
            processes from writing there; after a SIGKILL the lock file remains, but blocks nobody.
        resume: continue from `out`, if it exists; a file with more iterations than `config` asks for is refused. On the
            same machine the result equals that of an uninterrupted run bit for bit.
        overwrite: replace `out`, if it exists.
        device: "cpu" or "cuda".
        compile: whether to compile the step; by default, in runs of at least COMPILE_FROM iterations. The compiled code
            is kept on disk, and used again with another alpha, beta, seed, number of iterations or `log_every`; another
            method, network, loss, optimiser or dtype, or another number of tasks, shots, query points or steps, has to
            be compiled anew. With tasks divided among processes, the step is compiled in two halves, between which the
            processes exchange meta-gradients. Where the fastest engine isn't available, a warning says why, once;
            with L2L_STRICT=1 in the environment that is an error.
        workers: number of threads that train replicas side by side; by default one for each core, and never more than
            one for each seed. Each replica is trained by a single thread: at these sizes several are slower.
        shard: what the processes that `torchrun` started, each of which calls this function, divide among them:
            "seeds", with the result of a single process bit for bit; or "tasks", those of every meta-batch, with the
            result of a single process up to rounding, for a method whose meta-gradient is a mean over tasks. The first
            process writes `out` and shows progress.

    Returns:
        Run, with tensors on the CPU.

    Raises:
        TypeError, ValueError: a bad setting, a part or family that doesn't do what it should, or a file in `out` that
            is not a run of this config.
        OSError: `out` can't be written, is written by another training, or exists and neither `resume` nor `overwrite`
            is set (FileExistsError).
        FloatingPointError: the loss or a parameter became infinite or undefined; `out` keeps the state before.
        RuntimeError: L2L_STRICT is 1 and a fast engine isn't available; or another process, which the message names,
            has stopped.

    Source: Finn et al. (2017), algorithm 2; Adam as outer optimiser as in its released code.
    """
    if resume and out is None:
        raise ValueError("resume=True needs out, the file to resume from")
    if resume and overwrite:
        raise ValueError("resume continues what out holds and overwrite replaces it: choose one")
    if not (str(device) == "cpu" or (str(device).startswith("cuda") and torch.cuda.is_available())):
        raise ValueError(f"device must be cpu, or cuda where there is a GPU, got {device!r}")
    check_family(task_family)
    one_of("shard", shard, SHARDS)
    count = cores() if workers is None else whole("workers", workers, 1)
    with Interrupts() as interrupts, ExitStack() as stack, ranks(shard, device) as group:
        if group.share_tasks and config.tasks < group.size:
            raise ValueError(f"tasks must be at least {group.size}, one for each process, got {config.tasks}")

        def begin() -> tuple[Path | None, dict[str, Any], dict[str, Tensor]]:
            path = None
            if out is not None:
                check_names(config)
                path = stack.enter_context(only_writer(out))
            return path, *_found(path, config, task_family, resume, overwrite)

        path, found, saved = group.first(begin)
        path, progress = (path, progress) if group.rank == 0 else (None, False)
        run = Run(config, task_family=task_family, **found)
        if run.iteration == config.iterations:
            return run
        with one_thread(), _progress_bar(config, run, progress) as bar:
            with interrupts.let_through(), plain_modes(group.device):
                pool = Workers(config, task_family, group.device, group.threads(config.seeds, count), group)
                if saved:
                    replicas = unpack(flatten(run.theta, axes=1), saved, group.device)
                else:
                    replicas = [first_replica(seed, config, group.device) for seed in config.seeds]
                    run = _record(run, replicas, group.gather([pool.measure(own) for own in group.own(replicas)]))
            with pool, _Saver(path, run, replicas) as saver, interrupts.let_through():
                _report(progress, run)
                if compile or (compile is None and config.iterations >= COMPILE_FROM):
                    bar.set_postfix_str("compiling")
                    with plain_modes(group.device), group.one_after_the_first():
                        pool.compile()
                run = _with_engine(run, pool.engine)
                for advanced in map(group.gather, pool.advance(group.own(replicas), _blocks(config, run.iteration))):
                    _check_finite(advanced, run)
                    replicas, losses = [a.replica for a in advanced], [a.losses for a in advanced]
                    measured = [a.measured for a in advanced]
                    updates = len(losses[0])
                    run = _record(replace(run, iteration=run.iteration + updates), replicas, measured)
                    saver.state = run, replicas
                    bar.set_postfix_str(f"{run.engine}, loss {sum(x[-1].item() for x in losses) / len(losses):.3f}")
                    bar.update(updates)
                    saver.save(at_most_every=SAVE_EVERY)
                    _report(progress, run)
    return run


def _found(
    out: Path | None, config: TrainConfig, family: TaskFamily, resume: bool, overwrite: bool
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the fields of the run and the optimiser's state that training begins with: from `out`, or empty."""
    run = Run(config, {}, {}, {}, family, 0)
    saved: dict[str, Tensor] = {}
    if out and out.exists():
        if resume:
            run, saved = _resume(out, config, family)
        elif not overwrite:
            raise FileExistsError(f"out exists, {out}: resume continues its training, overwrite replaces it")
    return {name: getattr(run, name) for name in MADE}, saved


class _Saver:
    """Writes the latest state to the file from time to time, and once more when training ends, however it ends."""

    def __init__(self, out: Path | None, run: Run, replicas: Sequence[Replica]):
        self._out, self.state, self._saved_at = out, (run, replicas), time.monotonic()

    def save(self, at_most_every: float = 0.0) -> None:
        run, replicas = self.state
        if self._out is not None and time.monotonic() - self._saved_at >= at_most_every:
            write_run(self._out, run, pack(replicas))
            self._saved_at = time.monotonic()

    def __enter__(self) -> "_Saver":
        return self

    def __exit__(self, *exception: object) -> None:
        self.save()


def _with_engine(run: Run, engine: str) -> Run:
    if run.engine not in (None, engine):
        warnings.warn(
            f"training began on the {run.engine} engine and continues on the {engine} engine, so the result may differ "
            "in its last bits from that of an uninterrupted run",
            RuntimeWarning,
            stacklevel=3,
        )
    return replace(run, engine=engine)


def _blocks(config: TrainConfig, iteration: int) -> Iterator[Block]:
    """Yield the blocks that remain, each ending where the run is logged, checkpointed or checked."""
    while iteration < config.iterations:
        multiples = ((iteration // every + 1) * every for every in (BLOCK, config.log_every))
        stop = min(config.iterations, *multiples, *(i for i in config.checkpoint_at if i > iteration))
        yield Block(stop - iteration, _is_due(stop, config))
        iteration = stop


def speaks(error: BaseException | None = None) -> bool:
    """Return whether this process prints: the first that torchrun started, or the first of those that remain."""
    if isinstance(error, RankLost):
        return error.first
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["RANK"] == "0"


def _is_due(iteration: int, config: TrainConfig) -> bool:
    """Whether the history has an entry at this iteration."""
    return iteration % config.log_every == 0 or iteration == config.iterations


def _record(run: Run, replicas: Sequence[Replica], measured: Sequence[tuple[Tensor, Tensor] | None]) -> Run:
    """Return `run` with the replicas' parameters, and with the history and checkpoints due at this iteration."""
    config, i = run.config, run.iteration
    like = {name: p[0] for name, p in run.theta.items()} or config.initial_parameters(config.seeds[0])
    stacked = unflatten(torch.stack([replica.theta for replica in replicas]).cpu(), like)
    theta = {name: p.clone() for name, p in stacked.items()}  # each with memory of its own, as a loaded run has
    checkpoints = run.checkpoints | ({i: theta} if i in config.checkpoint_at else {})
    history = run.history
    if measured[0]:
        loss, norm = (torch.stack(column).cpu() for column in zip(*measured, strict=True))
        now = {"iteration": torch.tensor(i, device="cpu"), "loss": loss, "initial_gradient_norm": norm}
        history = {k: torch.cat([*([history[k]] if history else []), value[None]]) for k, value in now.items()}
    return replace(run, theta=theta, history=history, checkpoints=checkpoints)


def _check_finite(advanced: list[Advanced], run: Run) -> None:
    losses = torch.stack([block.losses for block in advanced])  # [R, updates]
    bad = ~losses.isfinite()
    for r, (replica, *_) in enumerate(advanced):
        bad[r, -1] |= not all(x.isfinite().all() for x in (replica.theta, *replica.state))
    if bad.any():
        i = int(bad.any(dim=0).nonzero()[0])
        r = int(bad[:, i].nonzero()[0])
        loss = losses[r, i].item()
        raise FloatingPointError(
            f"training diverged at iteration {run.iteration + i + 1:,}, seed {run.config.seeds[r]}: "
            + (
                f"the loss is {loss}"
                if not math.isfinite(loss)
                else "the parameters or the optimiser's state overflowed"
            )
            + (
                "; a smaller alpha or beta may help"
                if run.iteration + i
                else "; a smaller alpha may help, if not all labels are ignored"
            )
        )


def _resume(out: Path, config: TrainConfig, task_family: TaskFamily) -> tuple[Run, dict[str, Tensor]]:
    parts = {name: getattr(config, name) for name in ("method", "network", "loss", "optimizer")}
    run, saved = read_run(out, parts, task_family if type(task_family) is not SineTasks else None)
    then, now = (plain(c.described() | _flat(f)) for c, f in ((run.config, run.task_family), (config, task_family)))
    for about in (then, now):  # more iterations may be asked for, and checkpoints among those to come
        about["checkpoint_at"] = [i for i in about["checkpoint_at"] if i <= run.iteration]
    if run.iteration > config.iterations:
        raise ValueError(f"{out} can't be resumed: it has {run.iteration} iterations, more than {config.iterations}")
    then["iterations"] = now["iterations"]
    for name, value in now.items():
        if then.get(name) != value:
            raise ValueError(f"{out} can't be resumed: its {name} is {then.get(name)}, not {value}")
    due = [_is_due(i, config) for i in run.history["iteration"].tolist()]
    run = replace(run, history={name: values[due] for name, values in run.history.items()})
    if not saved and run.iteration < config.iterations:
        raise ValueError(
            f"{out} can't be resumed: it holds no state of the optimiser, which train(out=…) writes and Run.save does "
            "not"
        )
    return run, saved


def _flat(family: TaskFamily) -> dict:
    about = described(family)
    return {"task_family": about["class"], **about["fields"]}


def _report(progress: bool | Callable[[Run], object], run: Run) -> None:
    if callable(progress):
        progress(run)


class _Bar(tqdm):
    monitor_interval = 0  # no thread of tqdm's that outlives training


def _progress_bar(config: TrainConfig, run: Run, progress: bool | Callable) -> _Bar:
    there = sys.stderr is not None and not getattr(sys.stderr, "closed", False)
    shown = there and (sys.stderr.isatty() or hasattr(builtins, "__IPYTHON__"))
    seen = shown and progress and not callable(progress)
    name = config.parts.method.name
    label = f"{name} × {len(config.seeds)} seeds" if len(config.seeds) > 1 else name
    return _Bar(total=config.iterations, initial=run.iteration, desc=label, disable=not seen, leave=False)
