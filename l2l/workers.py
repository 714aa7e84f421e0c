"""Threads that train replicas side by side, one for each core."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import NamedTuple

import torch
from torch import Tensor

from l2l.compiler import compiled
from l2l.config import TrainConfig
from l2l.graph import Loop, record, repeated
from l2l.replica import Replica, advance, first_replica, make_measure, make_step
from l2l.tasks import HELD_OUT, TRAIN, stream

HELD_OUT_TASKS = 200
"""Tasks on which the history is measured."""


class Block(NamedTuple):
    """Outer updates to make without a stop, and whether to measure after them."""

    updates: int
    measured: bool


class Advanced(NamedTuple):
    """What a block gave."""

    replica: Replica
    losses: Tensor  # [updates]
    measured: tuple[Tensor, Tensor] | None  # as `Workers.measure` gives them


class Workers:
    """A pool of threads for the replicas of one run.

    Each replica is advanced by one thread at a time, whose operations use one core: at these sizes more are slower.
    Compiled code runs without Python's lock, so threads are as good as processes, and share their memory.
    """

    def __init__(self, config: TrainConfig, sample: Callable, device: str | torch.device, count: int):
        start = first_replica(config.seeds[0], config, device)
        self._tasks, self._sample = config.tasks, sample
        self._held_out = sample(HELD_OUT_TASKS, generator=stream(HELD_OUT, 0))
        self._state = start.theta, *start.adam
        self._batch = sample(config.tasks, generator=stream(TRAIN, config.seeds[0]))
        self._step = record(make_step(config), *self._state, *self._batch)
        self._measure = record(make_measure(config), start.theta, *self._held_out)
        # Until it is compiled, Python's lock lets only one thread work at a time.
        self._loops = self._one_for_each(1, lambda: repeated(self._step))
        self._count = count
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))  # a setting per thread

    @staticmethod
    def _one_for_each(count: int, make: Callable[[], Loop]) -> SimpleQueue:
        idle = SimpleQueue()
        for _ in range(count):
            idle.put(make())
        return idle

    def compile(self) -> None:
        """Compile the step for every worker; where that fails, warn and leave it as it is."""
        try:
            self._loops = self._one_for_each(self._count, compiled(self._step, self._state, self._batch))
        except Exception as error:  # whatever a compiler that is absent, too old or broken may raise
            reason = " ".join(str(error).split("\n")[:2]) or type(error).__name__
            warnings.warn(f"training runs uncompiled, several times slower: {reason}", RuntimeWarning, stacklevel=3)

    def advance(self, replicas: list[Replica], blocks: Iterable[Block]) -> Iterator[list[Advanced]]:
        """Make block after block of outer updates; after each, yield where every replica stands.

        A replica starts on its next block as soon as it has done one, so that no thread waits for a slower one.
        """
        blocks = iter(blocks)
        block = next(blocks, None)
        ahead = [self._pool.submit(self._work, replica, block) for replica in replicas] if block else []
        while block:
            block, advanced = next(blocks, None), []
            for r, future in enumerate(ahead):
                advanced.append(future.result())
                if block:
                    ahead[r] = self._pool.submit(self._work, advanced[r].replica, block)
            yield advanced

    def _work(self, replica: Replica, block: Block) -> Advanced:
        loop = self._loops.get()  # waits until one is idle
        try:
            replica, losses = advance(replica, loop, block.updates, self._sample, self._tasks)
        finally:
            self._loops.put(loop)
        return Advanced(replica, losses, self.measure(replica) if block.measured else None)

    def measure(self, replica: Replica) -> tuple[Tensor, Tensor]:
        """Return a replica's loss and mean initial gradient norm on the held-out tasks."""
        return self._measure(replica.theta, *self._held_out)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception) -> None:
        self._pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch's own operations use a single core meanwhile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
