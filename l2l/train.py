"""The outer loop: trains any method, a replica for each seed, on all cores, compiled where that is repaid."""

import builtins
import functools
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor
from tqdm import tqdm

from l2l.config import DTYPES, TrainConfig
from l2l.net import flatten, unflatten
from l2l.replica import Replica, first_replica, pack, unpack
from l2l.run import Run, check_writable, read_run, write_run
from l2l.tasks import SineTasks
from l2l.validation import whole
from l2l.workers import Advanced, Block, Workers, cores, one_thread

COMPILE_FROM = 5_000
"""Iterations from which a run is compiled. The first time that takes 10 to 20 seconds, which repay themselves within
this run or the next; a shorter run replays the recorded step. The number of seeds plays no part, so that a replica and
its solo run are computed alike."""
BLOCK = 250
"""Updates between two looks at progress, divergence and the clock."""
SAVE_EVERY = 1.0
"""Least time between two checkpoints on disk, in seconds."""


def train(
    config: TrainConfig,
    task_family: SineTasks = SineTasks(),  # noqa: B008 (frozen)
    *,
    progress: bool | Callable[[Run], object] = True,
    out: str | os.PathLike | None = None,
    resume: bool = False,
    device: str | torch.device = "cpu",
    compile: bool | None = None,
    workers: int | None = None,
) -> Run:
    """Train a method on a stream of tasks, one replica for each seed::

        g = METHODS[config.method](θ, batch).grads,    θ ← Adam(θ, g, rate β)      for each batch

    For one seed all methods start from the same θ and see the same tasks in the same order. A replica
    equals the run of its seed alone, bit for bit, whatever the number of workers.

    Args:
        config: what to train.
        task_family: where tasks come from.
        progress: show a progress bar, in a terminal or a notebook. Or a function, to be called in place of it with
            the Run so far: before the first update, and again at least every BLOCK updates and at every entry of the
            history. An exception that it raises stops training there: `out` is written, and `train` raises it too.
        out: file for the run. Checkpoints go there too, at most one a second and one at the end, each
            written atomically in place of the one before.
        resume: continue from `out` if it exists. On the same machine the result has the bits of an uninterrupted run.
        device: "cpu" or "cuda".
        compile: compile the step. By default a run of at least COMPILE_FROM iterations is compiled.
        workers: threads that advance replicas side by side; by default as many as there are cores and seeds.
            A replica is advanced by one thread alone: at these sizes more are slower.

    Returns:
        Run, with tensors on the CPU.

    Raises:
        TypeError, ValueError: a bad setting, or the file in `out` is no run of this config.
        OSError: `out` can't be written.
        FloatingPointError: the loss or a parameter became infinite or undefined; `out` keeps the state before.

    Source: Finn et al. (2017), algorithm 2; Adam as outer optimiser as in its released code.
    """
    if out is not None:
        check_writable(out)
    elif resume:
        raise ValueError("resume=True needs out, the file to resume from")
    if not (str(device) == "cpu" or (str(device).startswith("cuda") and torch.cuda.is_available())):
        raise ValueError(f"device must be cpu, or cuda where there is a GPU, got {device!r}")
    count = min(len(config.seeds), cores() if workers is None else whole("workers", workers, 1))
    sample = functools.partial(
        task_family.sample, shots=config.shots, query=config.query, dtype=DTYPES[config.dtype], device=device
    )
    run, replicas = Run(config, {}, {}, {}, task_family, 0), []
    if resume and os.path.exists(out):
        run, replicas = _resume(out, config, task_family, device)
        if run.iteration == config.iterations:
            return run

    with one_thread(), _progress_bar(config, run, progress) as bar, Workers(config, sample, device, count) as pool:
        if not replicas:
            replicas = [first_replica(seed, config, device) for seed in config.seeds]
            run = _record(run, replicas, [pool.measure(replica) for replica in replicas])
        state, saved_at = (run, replicas), time.monotonic()
        try:
            _report(progress, run)
            if compile or (compile is None and config.iterations >= COMPILE_FROM):
                bar.set_postfix_str("compiling")
                pool.compile()
            for advanced in pool.advance(replicas, _blocks(config, run.iteration)):
                _check_finite(advanced, run)
                replicas, losses, measured = zip(*advanced, strict=True)
                updates = len(losses[0])
                run = _record(replace(run, iteration=run.iteration + updates), replicas, measured)
                state = run, replicas
                bar.set_postfix_str(f"loss {sum(last[-1].item() for last in losses) / len(losses):.3f}")
                bar.update(updates)
                if out is not None and time.monotonic() - saved_at >= SAVE_EVERY:
                    _save(out, *state)
                    saved_at = time.monotonic()
                _report(progress, run)
        finally:
            if out is not None:
                _save(out, *state)
    return run


def _blocks(config: TrainConfig, iteration: int) -> Iterator[Block]:
    """Yield what is left to do, stopping wherever something is logged, kept or looked at."""
    while iteration < config.iterations:
        multiples = ((iteration // every + 1) * every for every in (BLOCK, config.log_every))
        stop = min(config.iterations, *multiples, *(i for i in config.checkpoint_at if i > iteration))
        yield Block(stop - iteration, stop % config.log_every == 0 or stop == config.iterations)
        iteration = stop


def _record(run: Run, replicas: Sequence[Replica], measured: Sequence[tuple[Tensor, Tensor] | None]) -> Run:
    """Return `run` with the replicas' parameters, and with the history and checkpoints due at this iteration."""
    config, i = run.config, run.iteration
    stacked = unflatten(torch.stack([replica.theta for replica in replicas]).cpu(), config.sizes)
    theta = {name: p.clone() for name, p in stacked.items()}  # each with memory of its own, as a loaded run has
    checkpoints = run.checkpoints | ({i: theta} if i in config.checkpoint_at else {})
    history = run.history
    if measured[0]:
        loss, norm = (torch.stack(column).cpu() for column in zip(*measured, strict=True))
        now = {"iteration": torch.tensor(i), "loss": loss, "initial_gradient_norm": norm}
        history = {k: torch.cat([*([history[k]] if history else []), value[None]]) for k, value in now.items()}
    return replace(run, theta=theta, history=history, checkpoints=checkpoints)


def _check_finite(advanced: list[Advanced], run: Run) -> None:
    losses = torch.stack([block.losses for block in advanced])  # [R, updates]
    bad = ~losses.isfinite()
    for r, (replica, *_) in enumerate(advanced):
        bad[r, -1] |= not (replica.theta.isfinite().all() and replica.adam.v.isfinite().all())
    if bad.any():
        i = int(bad.any(dim=0).nonzero()[0])
        r = int(bad[:, i].nonzero()[0])
        loss = losses[r, i].item()
        raise FloatingPointError(
            f"training diverged at iteration {run.iteration + i + 1:,}, seed {run.config.seeds[r]}: "
            + (f"the loss is {loss}" if not math.isfinite(loss) else "the parameters or Adam's state overflowed")
            + "; a smaller alpha or beta may help"
        )


def _save(out: str | os.PathLike, run: Run, replicas: Sequence[Replica]) -> None:
    write_run(out, run, pack(replicas) if run.iteration < run.config.iterations else None)


def _resume(out, config: TrainConfig, task_family: SineTasks, device) -> tuple[Run, list[Replica]]:
    run, saved = read_run(out)
    for then, now in ((run.config, config), (run.task_family, task_family)):
        for name, value in asdict(then).items():
            if value != asdict(now)[name]:
                raise ValueError(f"{out} can't be resumed: its {name} is {value}, not {asdict(now)[name]}")
    if run.iteration == config.iterations:
        return run, []
    if not saved:
        raise ValueError(f"{out} can't be resumed: it holds no state of the optimiser, as train writes it")
    return run, unpack(flatten(run.theta), saved, device)


def _report(progress: bool | Callable[[Run], object], run: Run) -> None:
    if callable(progress):
        progress(run)


def _progress_bar(config: TrainConfig, run: Run, progress: bool | Callable) -> tqdm:
    seen = progress and not callable(progress) and (sys.stderr.isatty() or hasattr(builtins, "__IPYTHON__"))
    label = f"{config.method} × {len(config.seeds)} seeds" if len(config.seeds) > 1 else config.method
    return tqdm(total=config.iterations, initial=run.iteration, desc=label, disable=not seen, leave=False)
