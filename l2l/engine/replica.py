"""One seed's training: its state, and the step that advances it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from l2l.adam import State
from l2l.config import DTYPES, TrainConfig
from l2l.engine.graph import Function
from l2l.engine.loops import Loop
from l2l.methods import MetaGrad, Rate, initial_gradient_norm
from l2l.net import Params, flatten, unflatten
from l2l.tasks import TRAIN, Batch, TaskFamily, stream

Sample = Callable[[int, torch.Generator], tuple[Tensor, ...]]  # (updates, generator) -> fields [updates, T, …]


class Replica(NamedTuple):
    """All that the rest of one seed's training depends on."""

    theta: Tensor  # [P]
    state: State  # of the outer optimiser
    rng: Tensor  # state of the generator that draws its tasks


def first_replica(seed: int, config: TrainConfig, device: str | torch.device) -> Replica:
    """Return the replica of a seed before training: the seed fixes its parameters and its stream of tasks."""
    theta = flatten(config.initial_parameters(seed)).to(device)
    return Replica(theta, tuple(config.parts.optimizer.init(theta)), stream(TRAIN, seed).get_state())


def rates(config: TrainConfig, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Return α, of every inner step or of each, and β: inputs of the step, so that another α needs no other code."""
    tensor = partial(torch.tensor, dtype=DTYPES[config.dtype], device=device)
    return tensor(config.alpha), tensor(config.beta)


def make_step(config: TrainConfig, like: Params, fixed: bool = False) -> Function:
    """Return lines 4 to 11 as a function: (theta, *state, alpha, beta, *batch) -> (theta, *state, loss).

    With `fixed` the rates are the config's numbers, whatever is given: for a method that can't do with tensors.
    """
    optimizer = config.parts.optimizer

    def step(theta: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        *before, alpha, beta, x_support, y_support, x_query, y_query = others
        rates = (config.alpha, config.beta) if fixed else (alpha, beta)
        batch = Batch(x_support, y_support, x_query, y_query)
        loss, grads = _meta_gradient(config, unflatten(theta, like), batch, rates[0])
        gradient = flatten({name: grads[name] for name in like})
        theta, state = optimizer.update(theta, gradient, tuple(before), rates[1])
        return theta, *state, loss

    return step


def make_measure(config: TrainConfig, like: Params, fixed: bool = False) -> Function:
    """Return what the history records as a function: (theta, alpha, *batch) -> (loss, mean initial gradient norm)."""
    method, _, loss, _ = config.parts

    def measure(theta: Tensor, alpha: Tensor, *batch: Tensor) -> tuple[Tensor, Tensor]:
        params, batch = unflatten(theta, like), Batch(*batch)
        norms = initial_gradient_norm(params, batch, loss, method.inner_loop)
        return _meta_gradient(config, params, batch, config.alpha if fixed else alpha).loss, norms.mean()

    return measure


def _meta_gradient(config: TrainConfig, theta: Params, batch: Batch, alpha: Rate) -> MetaGrad:
    method, _, loss, _ = config.parts
    found = method(theta, batch, alpha=alpha, steps=config.steps, loss=loss)
    shapes = {name: p.shape for name, p in theta.items()}
    if {name: g.shape for name, g in found.grads.items()} != shapes or found.loss.shape != ():
        raise ValueError(
            f"the meta-gradient of {method.name} must have the names and shapes of theta, {shapes}, and a loss without "
            f"axes; got { ({name: g.shape for name, g in found.grads.items()}) } and {found.loss.shape}"
        )
    return found


def sampler(family: TaskFamily, config: TrainConfig, device: str | torch.device) -> Sample:
    """Return the function that draws meta-batches in the order of the stream, however many at once."""

    def draw(tasks: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        dtype = DTYPES[config.dtype]
        batch = family.sample(tasks, config.shots, config.query, generator=generator, dtype=dtype)
        return tuple(getattr(batch, field).to(device).contiguous() for field in Batch._fields)

    def sample(updates: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        if getattr(family.sample, "by_rows", False):
            return tuple(x.unflatten(0, (updates, config.tasks)) for x in draw(updates * config.tasks, generator))
        return tuple(map(torch.stack, zip(*(draw(config.tasks, generator) for _ in range(updates)), strict=True)))

    return sample


def advance(replica: Replica, loop: Loop, updates: int, sample: Sample) -> tuple[Replica, Tensor]:
    """Make some outer updates; return the replica after them and the loss of each, [updates]."""
    generator = torch.Generator()
    generator.set_state(replica.rng)
    batches = sample(updates, generator)
    (theta, *state), losses = loop((replica.theta, *replica.state), batches)
    return Replica(theta, tuple(state), generator.get_state()), losses


def pack(replicas: Sequence[Replica]) -> dict[str, Tensor]:
    """Return what training needs beside theta to go on, as tensors [R, ...]."""
    packed = {f"state.{i}": torch.stack(x).cpu() for i, x in enumerate(zip(*(r.state for r in replicas), strict=True))}
    return packed | {"rng": torch.stack([replica.rng for replica in replicas])}


def unpack(theta: Tensor, packed: dict[str, Tensor], device: str | torch.device) -> list[Replica]:
    """Undo `pack`, given the parameters [R, P].

    Tensors are copied: last bits may depend on where in memory one begins, and a generator overlooks a view's offset.
    """
    state = [packed[f"state.{i}"] for i in range(len(packed) - 1)]
    return [
        Replica(row[0].clone(), tuple(x.clone() for x in row[1:]), rng.clone())
        for *row, rng in zip(*(x.to(device) for x in (theta, *state)), packed["rng"], strict=True)
    ]
