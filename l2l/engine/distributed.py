"""Ranks: the processes that `torchrun` starts, which divide the replicas or the tasks of one training run."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from l2l.engine.graph import Function
from l2l.engine.loops import Loop, State

ROLL_CALL = timedelta(seconds=5)
"""How long a rank that has lost another waits for each of the others to report that it is alive."""
T = TypeVar("T")


class RankLost(RuntimeError):
    """Another rank, which the message names, stopped; `first`: whether this rank is the first of those that remain."""

    def __init__(self, message: str, first: bool):
        super().__init__(message)
        self.first = first


class Ranks:
    """The processes that train together, or a single one.

    Their results are exchanged after every block, so that every process has the whole run; only the first writes files
    and shows progress.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        shard: what is divided: "seeds" or "tasks".
        device: device of this process; with several GPUs in a machine, each process has its own.
    """

    joined = 0
    """Number of groups that this process has joined; each group has a prefix of its own in the shared store."""

    def __init__(self, shard: str, device: str | torch.device):
        self.rank, self.size, self._local, self.shard, self.device = 0, 1, 1, shard, device
        self._terminated = False
        self._store: dist.Store | None = None

    @property
    def share_tasks(self) -> bool:
        """Whether several processes divide every meta-batch, so that each process advances all replicas."""
        return self.size > 1 and self.shard == "tasks"

    def own(self, replicas: Sequence[T]) -> list[T]:
        """Return those of all replicas that this rank advances."""
        return list(replicas if self.share_tasks else replicas[self.rank :: self.size])

    def threads(self, seeds: Sequence[int], most: int) -> int:
        """Return how many threads this rank should have: one for each replica that it advances, as cores allow."""
        own = 1 if self.share_tasks else len(self.own(seeds))  # 1: their steps wait for one another, in one order
        return max(1, min(own, most // self._local))

    def gather(self, ours: list[T]) -> list[T]:
        """Return the results of all ranks for their own replicas, in the order of the replicas.

        Raises:
            RankLost: another rank has stopped.
        """
        if self.size == 1 or self.share_tasks:
            return ours
        everyone: list[Any] = [None] * self.size
        self._together(lambda: dist.all_gather_object(everyone, ours))
        return [everyone[i % self.size][i // self.size] for i in range(sum(map(len, everyone)))]

    def first(self, work: Callable[[], T]) -> T:
        """Run `work` on the first rank only; return its result, or raise its error, on every rank.

        Raises:
            RankLost: another rank has stopped.
        """
        if self.size == 1:
            return work()
        told: list[Any] = [None, None]
        if self.rank == 0:
            try:
                told[0] = work()
            except Exception as error:
                told[1] = error
        self._together(lambda: dist.broadcast_object_list(told))
        if told[1] is not None:
            raise told[1]
        return told[0]

    @contextmanager
    def one_after_the_first(self) -> Iterator[None]:
        """Run the block on the first rank of each machine before the others, which then find what it has cached."""
        ahead = self.size == 1 or int(os.environ["LOCAL_RANK"]) == 0
        if not ahead:
            self._together(dist.barrier)
        yield
        if ahead and self.size > 1:
            self._together(dist.barrier)

    def part(self, batch: State) -> State:
        """Return this rank's tasks of a meta-batch."""
        return tuple(x[self.rank :: self.size].contiguous() for x in batch)

    def shared(self, gradient: Function, update: Function, rates: State, tasks: int) -> Loop:
        """Return the loop in which each rank takes a part of every meta-batch, and meta-gradients are averaged.

        Args:
            gradient: (theta, alpha, *batch) -> (meta-gradient [P], loss), both means over the tasks of `batch`.
            update: (theta, *state, beta, meta-gradient) -> (theta, *state).
            rates: alpha and beta.
            tasks: T, the number in a meta-batch.
        """
        alpha, beta = rates

        def loop(state: State, batches: State) -> tuple[State, Tensor]:
            losses = []
            with torch.no_grad():
                for batch in zip(*batches, strict=True):
                    part = self.part(batch)
                    grads, loss = gradient(state[0], alpha, *part)
                    mean = torch.cat([grads, loss[None]]) * (len(part[0]) / tasks)
                    self._together(partial(dist.all_reduce, mean))
                    state = tuple(update(*state, beta, mean[:-1]))
                    losses.append(mean[-1])
                for x in state:  # processors of different kinds round differently, and ranks would drift apart
                    self._together(partial(dist.broadcast, x, 0))
            return state, torch.stack(losses)

        return loop

    def _together(self, exchange: Callable[[], Any]) -> None:
        try:
            if not self._terminated:
                exchange()
        except RuntimeError as error:  # torch reports only that a connection was closed
            raise self._lost() from error
        if self._terminated:
            raise self._lost()

    def _lost(self) -> RankLost:
        """Return the error that names the missing ranks. Closing our own connections releases ranks that wait."""
        with suppress(Exception):
            dist.destroy_process_group()
        here, missing = [], []
        assert self._store
        for rank in range(self.size):
            try:
                self._here()
                self._store.wait([f"here {rank}"], ROLL_CALL)
                here.append(rank)
            except RuntimeError:  # DistStoreError is one: nobody answers, or the store itself is gone
                missing.append(rank)
        who = f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}" if missing else "every rank"
        return RankLost(f"{who} stopped, and so does training", self.rank == min(here, default=self.rank))

    def _terminate(self, *_: object) -> None:
        """Record that torchrun asks this process to stop, as when another died, and report that this one is alive."""
        self._terminated = True
        self._here()

    def _here(self) -> None:
        if self._store:
            self._store.set(f"here {self.rank}", "")


@contextmanager
def ranks(shard: str, device: str | torch.device) -> Iterator[Ranks]:
    """Join the processes that torchrun started, if it started this one, until the end of the block."""
    group = Ranks(shard, device)
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield group
        return
    group.rank, group.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    group._local = int(os.environ["LOCAL_WORLD_SIZE"])
    gpu = torch.device(device).type == "cuda"
    if gpu:
        group.device = f"cuda:{os.environ['LOCAL_RANK']}"
    main = threading.current_thread() is threading.main_thread()
    # torchrun terminates the others when one has died, and would leave them no time to say which.
    theirs = signal.signal(signal.SIGTERM, group._terminate) if main else None
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        store = dist.TCPStore(host, port, group.size, is_master=not hosted and group.rank == 0)
        attempt = f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)} {Ranks.joined}"
        Ranks.joined += 1
        group._store = dist.PrefixStore(f"l2l {attempt}", store)
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        dist.init_process_group(backend, store=group._store, rank=group.rank, world_size=group.size)
        yield group
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        if main:
            signal.signal(signal.SIGTERM, theirs)
