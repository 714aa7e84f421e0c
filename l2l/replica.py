"""One seed's training: its state, and the step that advances it."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from l2l.adam import AdamState, adam, adam_init
from l2l.config import DTYPES, TrainConfig
from l2l.graph import Function, Loop
from l2l.methods import METHODS, initial_gradient_norm
from l2l.net import flatten, init_params, unflatten
from l2l.tasks import TRAIN, Batch, stream


class Replica(NamedTuple):
    """All that the rest of one seed's training depends on."""

    theta: Tensor  # [P]
    adam: AdamState  # of [P], [P] and []
    rng: Tensor  # state of the generator that draws its tasks


def first_replica(seed: int, config: TrainConfig, device: str | torch.device) -> Replica:
    """Return the replica of a seed before training: the seed fixes its parameters and its stream of tasks."""
    params = init_params(config.sizes, generator=torch.Generator().manual_seed(seed), dtype=DTYPES[config.dtype])
    theta = flatten(params).to(device)
    return Replica(theta, adam_init(theta), stream(TRAIN, seed).get_state())


def make_step(config: TrainConfig) -> Function:
    """Return lines 4 to 11 as a function: (theta, m, v, t, *batch) -> (theta, m, v, t, loss)."""
    method = _method(config)

    def step(theta: Tensor, m: Tensor, v: Tensor, t: Tensor, *batch: Tensor) -> tuple[Tensor, ...]:
        loss, grads = method(unflatten(theta, config.sizes), Batch(*batch))
        theta, state = adam(theta, flatten(grads), AdamState(m, v, t), config.beta)
        return theta, *state, loss

    return step


def make_measure(config: TrainConfig) -> Function:
    """Return what the history records as a function: (theta, *batch) -> (loss, mean initial gradient norm)."""
    method = _method(config)

    def measure(theta: Tensor, *batch: Tensor) -> tuple[Tensor, Tensor]:
        params, batch = unflatten(theta, config.sizes), Batch(*batch)
        return method(params, batch).loss, initial_gradient_norm(params, batch, config.loss).mean()

    return measure


def _method(config: TrainConfig) -> Callable:
    return functools.partial(METHODS[config.method], alpha=config.alpha, steps=config.steps, loss=config.loss)


def advance(replica: Replica, loop: Loop, updates: int, sample: Callable, tasks: int) -> tuple[Replica, Tensor]:
    """Make some outer updates; return the replica after them and the loss of each, [updates]."""
    generator = torch.Generator()
    generator.set_state(replica.rng)
    batches = tuple(field.unflatten(0, (updates, tasks)) for field in sample(updates * tasks, generator=generator))
    (theta, *state), losses = loop((replica.theta, *replica.adam), batches)
    return Replica(theta, AdamState(*state), generator.get_state()), losses


def pack(replicas: Sequence[Replica]) -> dict[str, Tensor]:
    """Return what training needs beside theta to go on, as tensors [R, ...]."""
    columns = zip(*((*replica.adam, replica.rng) for replica in replicas), strict=True)
    return {name: torch.stack(x).cpu() for name, x in zip((*AdamState._fields, "rng"), columns, strict=True)}


def unpack(theta: Tensor, packed: dict[str, Tensor], device: str | torch.device) -> list[Replica]:
    """Undo `pack`, given the parameters [R, P].

    Tensors are copied: last bits may depend on where in memory one begins, and a generator overlooks a view's offset.
    """
    state = [x.to(device) for x in (theta, *(packed[field] for field in AdamState._fields))]
    return [
        Replica(row[0].clone(), AdamState(*(x.clone() for x in row[1:])), rng.clone())
        for *row, rng in zip(*state, packed["rng"], strict=True)
    ]
