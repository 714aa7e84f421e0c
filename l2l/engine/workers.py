"""Threads that train replicas side by side, one for each core."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import NamedTuple

import torch
from torch import Tensor
from torch.fx import GraphModule

from l2l.config import HELD_OUT_TASKS, TrainConfig
from l2l.engine.distributed import Ranks
from l2l.engine.graph import Function
from l2l.engine.loops import Loop, check_pure, compiled, compiled_alone, lost, recorded, repeated
from l2l.engine.native import Unavailable
from l2l.engine.replica import (
    Replica,
    advance,
    check_parts,
    draw,
    first_replica,
    make_gradient,
    make_measure,
    make_step,
    make_update,
    rates,
    sampler,
)
from l2l.tasks import HELD_OUT, TRAIN, Batch, TaskFamily, stream


class Block(NamedTuple):
    """Outer updates to make without a stop, and whether to measure after them."""

    updates: int
    measured: bool


class Advanced(NamedTuple):
    """The result of a block for one replica."""

    replica: Replica
    losses: Tensor  # [updates]
    measured: tuple[Tensor, Tensor] | None  # as `Workers.measure` gives them


class Workers:
    """A pool of threads for the replicas of one run.

    Each replica is advanced by one thread at a time, whose operations use one core: at these sizes more are slower.
    Compiled code runs without Python's lock, so threads are as good as processes, and share their memory.

    Attributes:
        engine: what runs the loop: "native", "compiled", "recorded" or "called".
    """

    def __init__(
        self,
        config: TrainConfig,
        family: TaskFamily,
        device: str | torch.device,
        count: int,
        group: Ranks | None = None,
    ):
        group = group or Ranks("seeds", device)
        self._count, self._shared = count, group.share_tasks
        start, like = first_replica(config.seeds[0], config, device), config.initial_parameters(config.seeds[0])
        self._sample = sampler(family, config, device)
        self._held_out = draw(family, config, HELD_OUT_TASKS, stream(HELD_OUT, 0), device)
        name = type(family).__name__
        for field, x in zip(Batch._fields, self._held_out, strict=True):
            if not x.isfinite().all():
                raise ValueError(f"{name}.sample must give finite numbers, and gives others in {field}")
        check_parts(config, *self._held_out[:2])
        self._state, self._rates = (start.theta, *start.state), rates(config, device)
        self._batch, again = (
            tuple(x[0].clone() for x in self._sample(1, stream(TRAIN, config.seeds[0]))) for _ in range(2)
        )
        if not all(map(torch.equal, self._batch, again)):
            raise ValueError(f"{name}.sample must draw the same tasks from the same generator state, but draws others")
        alpha, beta = self._rates
        who = f"the method {config.parts.method.name}, with its network and its loss,"
        grads, _ = check_pure(who, make_gradient(config, like, fixed=True), (start.theta, alpha, *self._batch))
        check_pure(who, make_measure(config, like, fixed=True), (start.theta, alpha, *self._held_out))
        who = f"the optimiser {config.parts.optimizer.name}"
        check_pure(who, make_update(config, fixed=True), (*self._state, beta, grads))

        def of(make: Callable[..., Function], *example: Tensor) -> tuple[Function, Unavailable | None]:
            return recorded([make(fixed=fixed) for fixed in (False, True)], example)

        # Until the step is compiled, Python's lock lets only one thread work at a time.
        if self._shared:
            part = group.part(self._batch)
            gradient, reason = of(partial(make_gradient, config, like), start.theta, alpha, *part)
            update, of_update = of(partial(make_update, config), *self._state, beta, grads)
            reason = reason or of_update
            self._halves = (gradient, (start.theta,), (alpha,), part), (update, self._state, (beta,), (grads,))
            self._share = partial(group.shared, rates=self._rates, tasks=config.tasks)
            self._loops = self._some(1, lambda: self._share(gradient, update))
        else:
            self._step, reason = of(partial(make_step, config, like), *self._state, alpha, beta, *self._batch)
            self._loops = self._some(1, lambda: repeated(self._step, self._rates))
        self._measure, of_measure = of(partial(make_measure, config, like), start.theta, alpha, *self._held_out)
        if found := reason or of_measure:
            lost("training" if reason else "measuring", "called", found)
        self.engine = "called" if reason else "recorded"
        # The number of cores is a setting per thread.
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))

    @staticmethod
    def _some(count: int, make: Callable[[], Loop]) -> SimpleQueue[Loop]:
        idle: SimpleQueue[Loop] = SimpleQueue()
        for _ in range(count):
            idle.put(make())
        return idle

    def compile(self) -> None:
        """Compile the step for every worker; where that fails, fall back to a slower engine."""
        if self._shared:
            if self.engine == "recorded":
                self._compile_halves()
        elif isinstance(self._step, GraphModule):
            self.engine, one, parallel = compiled(self._step, self._state, self._rates, self._batch)
            self._loops = self._some(self._count if parallel else 1, one)

    def _compile_halves(self) -> None:
        """Compile the two halves of a step that ranks share, the gradient and the update; ranks exchange in between."""
        try:
            gradient, update = (compiled_alone(*half) for half in self._halves)
        except Unavailable as reason:
            lost("training", "recorded", reason)
        else:
            self.engine, self._loops = "compiled", self._some(1, lambda: self._share(gradient, update))

    def advance(self, replicas: list[Replica], blocks: Iterable[Block]) -> Iterator[list[Advanced]]:
        """Make block after block of outer updates; after each, yield the state of every replica.

        A replica goes on to its next block at once, so that no thread waits for a slower one or for the caller.
        Meanwhile the calling thread measures: in any other one, glibc returns the memory of each operation's result to
        the system, which takes longer than the operation.
        """
        submitted = self._submitted(replicas, blocks)
        ahead = deque(islice(submitted, 2))
        while ahead:
            block, futures = ahead.popleft()
            done = [future.result() for future in futures]
            ahead.extend(islice(submitted, 1))
            yield [
                Advanced(replica, losses, self.measure(replica) if block.measured else None) for replica, losses in done
            ]

    def _submitted(
        self, replicas: Sequence[Replica | Future], blocks: Iterable[Block]
    ) -> Iterator[tuple[Block, list[Future]]]:
        """Submit block after block, each when asked for; a replica's next one waits for the future of its last."""
        for block in blocks:
            replicas = futures = [self._pool.submit(self._work, replica, block) for replica in replicas]
            yield block, futures

    def _work(self, start: Replica | Future, block: Block) -> tuple[Replica, Tensor]:
        # A future was submitted before, so that one of the threads is at it, or has done it.
        replica = start.result()[0] if isinstance(start, Future) else start
        loop = self._loops.get()  # waits until one is idle
        try:
            return advance(replica, loop, block.updates, self._sample)
        finally:
            self._loops.put(loop)

    def measure(self, replica: Replica) -> tuple[Tensor, Tensor]:
        """Return a replica's loss and mean initial gradient norm on the held-out tasks."""
        with plain_modes(replica.theta.device):
            loss, norm = self._measure(replica.theta, self._rates[0], *self._held_out)
        return loss, norm

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def plain_modes(device: str | torch.device) -> Iterator[None]:
    """Disable the default device and autocast that the caller may have set; the threads of the pool don't see them."""
    elsewhere = torch.get_default_device().type != "cpu"  # a device as a mode slows every operation
    with torch.device("cpu") if elsewhere else nullcontext(), torch.autocast(torch.device(device).type, enabled=False):
        yield


_alone, _threads_of_first, _inside = threading.Lock(), 1, 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Make torch's own operations in this thread use a single core within the block.

    Torch keeps the number of cores for each thread, and a new thread starts with the number that was set last in any
    thread. A thread that starts while another trains therefore inherits 1; after the block it gets the number that the
    first training thread had.
    """
    global _threads_of_first, _inside
    with _alone:
        before = torch.get_num_threads()
        if not _inside:
            _threads_of_first = before
        elif before == 1:
            before = _threads_of_first
        _inside += 1
    try:
        torch.set_num_threads(1)
        yield
    finally:
        with _alone:
            _inside -= 1
            torch.set_num_threads(before)
