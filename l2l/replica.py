"""One seed's training: its state, and the step that advances it, compiled where that is possible."""

import functools
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from l2l.adam import AdamState, adam, adam_init
from l2l.config import DTYPES, TrainConfig
from l2l.net import Params, init_params
from l2l.tasks import TRAIN, Batch, stream


class Replica(NamedTuple):
    """All that the rest of one seed's training depends on."""

    theta: Params
    adam: AdamState
    rng: Tensor  # state of the generator that draws its tasks


@functools.cache
def make_step(method: Callable, alpha: float, steps: int, beta: float) -> Callable:
    """Return lines 4 to 11 as a function: (theta, adam state, batch) -> (theta, adam state, loss)."""

    def step(theta: Params, state: AdamState, batch: Batch) -> tuple[Params, AdamState, Tensor]:
        loss, grads = method(theta, batch, alpha=alpha, steps=steps)
        theta, state = adam(theta, grads, state, beta)
        return theta, state, loss

    return step


_compile = functools.cache(
    functools.partial(torch.compile, fullgraph=True, dynamic=False, options={"cpp_wrapper": True})
)


def compiled(step: Callable, *example) -> Callable:
    """Compile `step` and try it once; where that fails, warn and return it as it is."""
    # All steps share one code object, so by default the ninth setting in a process would no longer compile.
    limits = {"recompile_limit": 1000, "accumulated_recompile_limit": 10_000}
    try:
        with torch.no_grad(), warnings.catch_warnings(), torch._dynamo.config.patch(limits):
            warnings.simplefilter("ignore")  # of torch, about itself
            _compile(step)(*example)
        return _compile(step)
    except Exception as error:  # whatever a compiler that is absent, too old or broken may raise
        reason = " ".join(str(error).split("\n")[:2]) or type(error).__name__
        warnings.warn(f"training runs uncompiled, several times slower: {reason}", RuntimeWarning, stacklevel=3)
        return step


def first_replica(seed: int, config: TrainConfig, device: str | torch.device) -> Replica:
    """Return the replica of a seed before training: the seed fixes its parameters and its stream of tasks."""
    theta = init_params(config.sizes, generator=torch.Generator().manual_seed(seed), dtype=DTYPES[config.dtype])
    theta = {name: p.to(device) for name, p in theta.items()}
    return Replica(theta, adam_init(theta), stream(TRAIN, seed).get_state())


def advance(replica: Replica, step: Callable, updates: int, sample: Callable, tasks: int) -> tuple[Replica, Tensor]:
    """Make some outer updates; return the replica after them and the loss of each, [updates]."""
    theta, state, rng = replica
    generator = torch.Generator()
    generator.set_state(rng)
    block = sample(updates * tasks, generator=generator)
    losses = []
    with torch.no_grad():
        for batch in zip(*(field.split(tasks) for field in block), strict=True):
            theta, state, loss = step(theta, state, Batch(*batch))
            losses.append(loss)
    return Replica(theta, state, generator.get_state()), torch.stack(losses)


def stack(dicts: list[Params]) -> Params:
    """Stack replicas' tensors, name by name, along a new first axis; on the CPU."""
    return {name: torch.stack([d[name] for d in dicts]).cpu() for name in dicts[0]}


def pack(replicas: list[Replica]) -> dict[str, Tensor]:
    """Return what training needs beside theta to go on, as tensors [R, ...]."""
    m, v = stack([r.adam.m for r in replicas]), stack([r.adam.v for r in replicas])
    packed = {f"m.{name}": p for name, p in m.items()} | {f"v.{name}": p for name, p in v.items()}
    return packed | stack([{"t": r.adam.t, "rng": r.rng} for r in replicas])


def unpack(theta: Params, packed: dict[str, Tensor], device: str | torch.device) -> list[Replica]:
    """Undo `pack` and `stack`.

    Tensors are copied: last bits may depend on where in memory one begins, and a generator overlooks a view's offset.
    """

    def replica(r: int) -> Replica:
        own, m, v = (
            {name: tensors[prefix + name][r].clone().to(device) for name in theta}
            for tensors, prefix in ((theta, ""), (packed, "m."), (packed, "v."))
        )
        return Replica(own, AdamState(m, v, packed["t"][r].clone().to(device)), packed["rng"][r].clone())

    return [replica(r) for r in range(len(packed["t"]))]
