"""One seed's training: its state, and the step that advances it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from l2l.adam import State
from l2l.config import DTYPES, TrainConfig, part_name
from l2l.engine.graph import Function
from l2l.engine.loops import Loop, named
from l2l.methods import MetaGrad, Rate, initial_gradient_norm
from l2l.net import Params, flatten, unflatten
from l2l.tasks import TRAIN, Batch, TaskFamily, stream, tensors_of

IGNORED = -100  # a label that torch's cross-entropy leaves out
Sample = Callable[[int, torch.Generator], tuple[Tensor, ...]]  # (updates, generator) -> fields [updates, T, …]


class Replica(NamedTuple):
    """All that the rest of one seed's training depends on."""

    theta: Tensor  # [P]
    state: State  # of the outer optimiser
    rng: Tensor  # state of the generator that draws its tasks


def first_replica(seed: int, config: TrainConfig, device: str | torch.device) -> Replica:
    """Return the replica of a seed before training: the seed fixes its parameters and its stream of tasks."""
    theta, optimizer = flatten(config.initial_parameters(seed)).to(device), config.parts.optimizer
    state = optimizer.init(theta)
    if not _is_state(state):
        raise TypeError(f"init of {optimizer.name} must give a tuple of tensors, got {state!r}")
    return Replica(theta, tuple(state), stream(TRAIN, seed).get_state())


def _is_state(state: object) -> bool:
    return isinstance(state, tuple | list) and all(isinstance(x, Tensor) for x in state)


def rates(config: TrainConfig, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Return α (one rate, or one for each inner step) and β: inputs of the step, so that a new α needs no new code."""
    tensor = partial(torch.tensor, dtype=DTYPES[config.dtype], device=device)
    return tensor(config.alpha), tensor(config.beta)


def make_step(config: TrainConfig, like: Params, fixed: bool = False) -> Function:
    """Return lines 4 to 11 as a function: (theta, *state, alpha, beta, *batch) -> (theta, *state, loss).

    With `fixed` the rates are the config's numbers, whatever is passed: for a method that can't take tensors.
    """
    gradient, update = make_gradient(config, like, fixed), make_update(config, fixed)

    def step(theta: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        *before, alpha, beta, x_support, y_support, x_query, y_query = others
        grads, loss = gradient(theta, alpha, x_support, y_support, x_query, y_query)
        return *update(theta, *before, beta, grads), loss

    return step


def make_gradient(config: TrainConfig, like: Params, fixed: bool = False) -> Function:
    """Return lines 4 to 10 as a function: (theta [P], alpha, *batch) -> (meta-gradient [P], loss)."""

    def gradient(theta: Tensor, alpha: Tensor, *batch: Tensor) -> tuple[Tensor, Tensor]:
        loss, grads = _meta_gradient(config, unflatten(theta, like), Batch(*batch), config.alpha if fixed else alpha)
        return flatten({name: grads[name] for name in like}), loss

    return gradient


def make_update(config: TrainConfig, fixed: bool = False) -> Function:
    """Return line 11 as a function: (theta [P], *state, beta, meta-gradient [P]) -> (theta, *state)."""
    optimizer = config.parts.optimizer

    def update(theta: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        *before, beta, grads = others
        after = optimizer.update(theta, grads, tuple(before), config.beta if fixed else beta)
        if not (isinstance(after, tuple) and len(after) == 2 and _is_state(after[1])):
            raise TypeError(f"update of {optimizer.name} must give (new theta, new state), got {type(after).__name__}")
        found, expected = ([(tuple(x.shape), x.dtype) for x in (v, *s)] for v, s in (after, (theta, before)))
        if found != expected:
            raise ValueError(f"update of {optimizer.name} must keep shapes and dtypes, {expected}, got {found}")
        return after[0], *after[1]

    return update


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
    if not isinstance(found, MetaGrad):
        raise TypeError(f"the meta-gradient of {method.name} must be a MetaGrad, got a {type(found).__name__}")
    shapes, got = ({name: list(v.shape) for name, v in values.items()} for values in (theta, found.grads))
    if shapes != got:
        off = [
            f"{n} {shapes.get(n, 'not there')}, got {got.get(n, 'nothing')}"
            for n in shapes | got
            if shapes.get(n) != got.get(n)
        ]
        raise ValueError(
            f"the meta-gradient of {method.name} must have the names and shapes of theta: {'; '.join(off)}"
        )
    if found.loss.shape != ():
        raise ValueError(f"the loss of {method.name} must have no axes, got shape {list(found.loss.shape)}")
    return found


def draw(
    family: TaskFamily, config: TrainConfig, tasks: int, generator: torch.Generator, device: str | torch.device
) -> tuple[Tensor, ...]:
    """Draw tasks with as many points as the config asks for; return the four tensors of the batch.

    Raises:
        TypeError, ValueError: the family returns no batch, or a batch of other sizes.
    """
    batch = family.sample(tasks, config.shots, config.query, generator=generator, dtype=DTYPES[config.dtype])
    points = tensors_of(batch, f"what {type(family).__name__}.sample gives")
    for field, x in zip(Batch._fields, points, strict=True):
        expected = tasks, config.shots if field.endswith("support") else config.query
        if x.shape[:2] != expected:
            raise ValueError(f"{type(family).__name__}.sample must give {field} {[*expected, '…']}, got {[*x.shape]}")
    return tuple(x.to(device).contiguous() for x in points)


def check_parts(config: TrainConfig, x: Tensor, y: Tensor) -> None:
    """Check network, loss and inner loop on the first of these tasks, [T, points, …] each, before any work is done.

    Raises:
        TypeError, ValueError: the network can't take x, a label has no output of the network, or the loss or the inner
            loop returns what can't be trained on.
    """
    method, _, loss, _ = config.parts
    theta = {name: p.to(x.device) for name, p in config.initial_parameters(config.seeds[0]).items()}
    iterates = method.inner_loop(theta, x[0], y[0], alpha=config.alpha, steps=config.steps, loss=loss)
    sequence = isinstance(iterates, Iterable) and not isinstance(iterates, Mapping | Tensor)

    def iterated() -> Iterator[Params]:
        with named(f"the inner loop of {method.name}"):
            yield from islice(iterates, config.steps + 2)

    count = 0
    for phi in iterated() if sequence else ():
        if not count:  # before the inner loop differentiates the loss
            _check_loss(config, phi, x[0], y)
        count += 1
    if count != config.steps + 1:
        found = f"{count}" if sequence else f"a {type(iterates).__name__}"
        raise TypeError(
            f"the inner loop of {method.name} must yield {config.steps + 1} iterates, those after 0 to {config.steps} "
            f"steps, got {found}"
        )


def _check_loss(config: TrainConfig, phi: Params, x: Tensor, y: Tensor) -> None:
    _, network, loss, _ = config.parts
    try:
        outputs = network.apply(phi, x)
    except RuntimeError as error:
        raise ValueError(f"the network can't take the family's x, {[*x.shape]} of each task: {error}") from error
    if config.loss == "cross_entropy":
        _check_targets(outputs, y)
    value = loss(phi, x, y[0])
    if not isinstance(value, Tensor) or value.shape != ():
        found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        name = part_name(config.loss)
        raise TypeError(f"loss must return a differentiable tensor without axes; {name} returns {found}")


def _check_targets(outputs: Tensor, y: Tensor) -> None:
    """Raise unless the tasks' y are such as cross-entropy takes, given the network's outputs for one task."""
    axis = min(1, outputs.ndim - 1)  # of classes
    if y[0].shape == outputs.shape and y.is_floating_point():
        sums = y.sum(axis + 1)
        if (y < 0).any() or not torch.allclose(sums, torch.ones_like(sums)):
            raise ValueError(
                "cross_entropy takes labels, int64, or probabilities, ≥ 0 with a sum of 1 over the network's outputs; "
                f"the family gives y from {y.min().item():.3g} to {y.max().item():.3g}"
            )
        return
    if y.dtype != torch.int64:
        raise TypeError(f"labels must be int64, got {str(y.dtype).removeprefix('torch.')}")
    expected = [*outputs.shape]
    classes = expected.pop(axis)
    if [*y[0].shape] != expected:
        raise ValueError(f"a task's labels must have shape {expected}, got {[*y[0].shape]}")
    if len(out := y[(y < 0) & (y != IGNORED) | (y >= classes)]):
        raise ValueError(
            f"labels must be ≥ 0 and below {classes}, the number of the network's outputs, got {int(out[0])}"
        )


def sampler(family: TaskFamily, config: TrainConfig, device: str | torch.device) -> Sample:
    """Return the function that draws meta-batches in the order of the stream, however many at once."""
    some = partial(draw, family, config, device=device)

    def sample(updates: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        if getattr(family.sample, "by_rows", False):
            return tuple(x.unflatten(0, (updates, config.tasks)) for x in some(updates * config.tasks, generator))
        return tuple(map(torch.stack, zip(*(some(config.tasks, generator) for _ in range(updates)), strict=True)))

    return sample


def advance(replica: Replica, loop: Loop, updates: int, sample: Sample) -> tuple[Replica, Tensor]:
    """Make some outer updates; return the replica after them and the loss of each, [updates]."""
    generator = torch.Generator()
    generator.set_state(replica.rng)
    batches = sample(updates, generator)
    (theta, *state), losses = loop((replica.theta, *replica.state), batches)
    return Replica(theta, tuple(state), generator.get_state()), losses


def pack(replicas: Sequence[Replica]) -> dict[str, Tensor]:
    """Return what training needs in addition to theta to continue, as tensors [R, ...]."""
    packed = {f"state.{i}": torch.stack(x).cpu() for i, x in enumerate(zip(*(r.state for r in replicas), strict=True))}
    return packed | {"rng": torch.stack([replica.rng for replica in replicas])}


def unpack(theta: Tensor, packed: dict[str, Tensor], device: str | torch.device) -> list[Replica]:
    """Undo `pack`, given the parameters [R, P].

    Tensors are copied: last bits may depend on a tensor's alignment in memory, and a generator ignores a view's offset.
    """
    state = [packed[f"state.{i}"] for i in range(len(packed) - 1)]
    return [
        Replica(row[0].clone(), tuple(x.clone() for x in row[1:]), rng.clone())
        for *row, rng in zip(*(x.to(device) for x in (theta, *state)), packed["rng"], strict=True)
    ]
