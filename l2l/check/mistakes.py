"""Mistakes that several exercises share: each function here answers as one who makes the mistake."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.func import grad

import l2l.methods as methods
from l2l.check.answers import Answer, numbers
from l2l.check.cases import QUERY, SHOTS, TASKS
from l2l.methods import InnerLoop, Loss, MetaGrad
from l2l.net import Params, flatten, mse, unflatten
from l2l.tasks import Batch, SineBatch

AnyBatch = TypeVar("AnyBatch", Batch, SineBatch)

TURNED = "W2 looks transposed: here W is [in, out], whereas torch.nn.Linear stores [out, in]."
CLIMBS = "The inner steps climb the loss: each must be minus α times the gradient."
CARRIED_ON = "Each task starts where the last one ended; every task must start at theta."
ON_QUERY = "It adapts to the query points; the inner loop must use the support points."
ON_SUPPORT = "It measures on the support points; the loss after adaptation must use the query points."
SWAPPED = "Support and query points have changed places."
FIRST_TASK = "It uses one task only, the first; the answer is the mean over tasks."
ONE_STEP = "It takes one inner step, whatever steps says."
HALF_LOSSES = "The losses look like half the squared error; L is the mean of (f(x) - y)², without a factor 1/2."
HALF_STEPS = "The inner steps look half as long as they should: L is the mean of (f(x) - y)², without a factor 1/2."
TOO_FEW, TOO_MANY = "It took one inner step too few.", "It took one inner step too many."


def altered(answer: Answer, **changes: Callable) -> Answer:
    """The same, of other arguments: `altered(f, steps=lambda K: 1)` takes one step, whatever it is given."""
    return lambda **case: answer(**case | {name: change(case[name]) for name, change in changes.items()})


def scaled(answer: Answer, factor: float) -> Answer:
    return lambda **case: factor * numbers(answer(**case))


def turned(answer: Answer) -> Answer:
    """With the square matrix W2 transposed, as torch.nn.Linear keeps it."""

    def mistaken(**case: Any) -> Params:
        found = unflatten(numbers(answer(**case)), case["theta"])
        return found | {"W2": found["W2"].mT}

    return mistaken


def negative(loss: Loss) -> Loss:
    """The loss of one who takes plus for minus."""
    return lambda theta, x, y: -loss(theta, x, y)


def climbing(method: Callable[..., MetaGrad], loss: Loss = mse) -> Answer:
    """The gradient of `method` at the end of inner steps that climb."""
    return lambda theta, batch, alpha, steps: (
        -flatten(method(theta, batch, alpha=alpha, steps=steps, loss=negative(loss)).grads)
    )


def carried_on(
    theta: Params,
    batch: Batch | SineBatch,
    alpha: float,
    steps: int,
    inner_loop: InnerLoop = methods.inner_loop,
    loss: Loss = mse,
) -> Tensor:
    """The meta-loss if each task starts where the last one ended."""
    total = torch.zeros(())
    for x_support, y_support, x_query, y_query in zip(*batch[:4], strict=True):
        theta = methods.adapt(theta, x_support, y_support, alpha=alpha, steps=steps, loss=loss, inner_loop=inner_loop)
        total = total + loss(theta, x_query, y_query) / TASKS
    return total


def carried_on_gradient(
    theta: Params,
    batch: Batch | SineBatch,
    alpha: float,
    steps: int,
    inner_loop: InnerLoop = methods.inner_loop,
    loss: Loss = mse,
) -> Params:
    """The gradient of that meta-loss."""
    return grad(carried_on)(theta, batch, alpha, steps, inner_loop, loss)


def taken(support: str, query: str) -> Callable[[AnyBatch], AnyBatch]:
    """With these points in place of the support and of the query points."""

    def take(batch: AnyBatch) -> AnyBatch:
        x_support, y_support = (getattr(batch, f"{axis}_{support}") for axis in "xy")
        x_query, y_query = (getattr(batch, f"{axis}_{query}") for axis in "xy")
        return batch._replace(x_support=x_support, y_support=y_support, x_query=x_query, y_query=y_query)

    return take


def only(task: int) -> Callable[[AnyBatch], AnyBatch]:
    return lambda batch: type(batch)(*(values[[task]] for values in batch))


def merged(batch: AnyBatch) -> AnyBatch:
    """Every task with the support points of all."""
    x, y = (values.flatten(0, 1).expand(TASKS, -1, *values.shape[2:]) for values in (batch.x_support, batch.y_support))
    return batch._replace(x_support=x, y_support=y)


def usual(answer: Answer) -> Mapping[str, Answer]:
    """What goes wrong in functions of (theta, batch, alpha, steps)."""

    def steps_as_long_as(alpha: Callable[[float], float]) -> Answer:
        return altered(answer, alpha=alpha)

    def on(support: str, query: str) -> Answer:
        return altered(answer, batch=taken(support, query))

    half_steps, long_steps = steps_as_long_as(lambda alpha: alpha / 2), steps_as_long_as(lambda alpha: SHOTS * alpha)
    return {
        ON_QUERY: on("query", "query"),
        ON_SUPPORT: on("support", "support"),
        SWAPPED: on("query", "support"),
        "It is taken at θ instead of φ, as if before adaptation: φ is not used.": steps_as_long_as(lambda alpha: 0.0),
        "The inner loss looks like a sum over the points; it must be the mean over them.": long_steps,
        "Both losses look like sums over the points; they must be means over them.": scaled(long_steps, QUERY),
        HALF_LOSSES: scaled(half_steps, 0.5),
        HALF_STEPS: half_steps,
        "The inner steps look as if α were 1: is α missing?": steps_as_long_as(lambda alpha: 1.0),
        "One φ seems to serve all tasks, adapted to their points together; each task must have its own φ.": (
            altered(answer, batch=merged)
        ),
        FIRST_TASK: altered(answer, batch=only(0)),
        "It uses one task only, the last; the answer is the mean over tasks.": altered(answer, batch=only(-1)),
    }


def miscounted(answer: Answer) -> Mapping[str, Answer]:
    """What goes wrong with the inner steps in functions of (theta, batch, alpha, steps)."""

    def at_start(theta: Params, batch: SineBatch, alpha: float, steps: int) -> object:
        return answer(theta=theta, batch=batch, alpha=steps * alpha, steps=1)

    return {
        ONE_STEP: altered(answer, steps=lambda K: 1),
        TOO_FEW: altered(answer, steps=lambda K: K - 1),
        TOO_MANY: altered(answer, steps=lambda K: K + 1),
        "Every inner gradient seems to be taken at θ; step k must take its gradient at θ^(k-1).": at_start,
    }
