"""The exercises of the chapter on speed: a meta-gradient from few iterates, and the gradients of all tasks at once."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import grad, vmap

import l2l.methods as methods
from l2l.check.answers import Answer
from l2l.check.cases import QUERY, TASKS, batch_case
from l2l.check.exercise import Exercise
from l2l.check.line_10 import hvp
from l2l.check.mistakes import (
    CARRIED_ON,
    FIRST_TASK,
    ON_QUERY,
    ON_SUPPORT,
    SWAPPED,
    TOO_FEW,
    TOO_MANY,
    TURNED,
    altered,
    carried_on_gradient,
    only,
    taken,
    turned,
)
from l2l.methods import InnerLoop
from l2l.net import Params, mse
from l2l.tasks import SineBatch


def few_kept_case(i: int, generator: torch.Generator) -> dict:
    """(theta, batch, alpha, steps, every): steps that `every` divides, and steps that it doesn't."""
    steps, every = ((5, 2), (4, 3), (5, 3), (4, 2), (3, 2))[i]
    return batch_case(i, generator) | {"steps": steps, "every": every}


def line_10(theta: Params, batch: SineBatch, alpha: float, steps: int, every: int) -> Params:
    return methods.maml(theta, batch, alpha=alpha, steps=steps).grads


def factors(order: Callable[[list, int], list]) -> Answer:
    """mean_i ∏(I - αH) ∇L, one factor after the other at the points that `order` makes of θ^(0), …, θ^(K-1)."""

    def multiplied(theta: Params, batch: SineBatch, alpha: float, steps: int, every: int) -> Params:
        def of_task(x_support: Tensor, y_support: Tensor, x_query: Tensor, y_query: Tensor) -> Params:
            *points, end = methods.inner_loop(theta, x_support, y_support, alpha=alpha, steps=steps)
            v = grad(mse)(end, x_query, y_query)
            for phi in order(points, every):
                H = hvp(phi, x_support, y_support, v)
                v = {name: v[name] - alpha * H[name] for name in v}
            return v

        found = vmap(of_task)(*batch[:4])
        return {name: g.mean(0) for name, g in found.items()}

    return multiplied


def segments(points: list, every: int) -> list[list]:
    return [points[i : i + every] for i in range(0, len(points), every)]


def joined(parts: list[list]) -> list:
    return [point for part in parts for point in part]


checkpointed_gradient = Exercise(
    name="checkpointed_gradient",
    doc="""Check f(theta, batch, alpha, steps, every) → line 10's gradient, like theta, with few iterates kept.

    Keep θ^(0), θ^(every), θ^(2 every), …, and compute the iterates in between again when the backward pass needs them.
    Source: Chen et al. (2016), for the layers of a network.
    """,
    case=few_kept_case,
    oracle=line_10,
    mistakes={
        "It is the first-order gradient: no factor I - αH was applied.": factors(lambda points, every: []),
        "All Hessians of a segment are taken where it begins; factor k needs the one at θ^(k).": factors(
            lambda points, every: joined([part[:1] * len(part) for part in segments(points, every)[::-1]])
        ),
        "Within a segment the order is wrong: the factor of its last step must act on the gradient first.": factors(
            lambda points, every: joined(segments(points, every)[::-1])
        ),
        "The segments are in the wrong order: the factors of the last segment must act on the gradient first.": factors(
            lambda points, every: joined([part[::-1] for part in segments(points, every)])
        ),
        "It looks like the reversed product: (I - αH_{K-1}) must act on the query gradient first.": factors(
            lambda points, every: points
        ),
        "The steps after the last full segment are missing.": factors(
            lambda points, every: points[: len(points) // every * every][::-1]
        ),
        "Only the last segment is differentiated through.": factors(
            lambda points, every: segments(points, every)[-1][::-1]
        ),
        "Only the kept iterates contribute a factor; every inner step must contribute one.": factors(
            lambda points, every: points[::every][::-1]
        ),
        "Every segment is computed again from θ; each must start from its own kept iterate.": factors(
            lambda points, every: joined([points[: len(part)][::-1] for part in segments(points, every)[::-1]])
        ),
        ON_QUERY: altered(line_10, batch=taken("query", "query")),
        ON_SUPPORT: altered(line_10, batch=taken("support", "support")),
        SWAPPED: altered(line_10, batch=taken("query", "support")),
        TOO_FEW: altered(line_10, steps=lambda K: K - 1),
        TOO_MANY: altered(line_10, steps=lambda K: K + 1),
        FIRST_TASK: altered(line_10, batch=only(0)),
        CARRIED_ON: lambda theta, batch, alpha, steps, every: carried_on_gradient(theta, batch, alpha, steps),
        TURNED: turned(line_10),
    },
)


def each_task(
    theta: Params, batch: SineBatch, alpha: float, steps: int, inner_loop: InnerLoop = methods.inner_loop
) -> Params:
    def after_adaptation(
        theta: Params, x_support: Tensor, y_support: Tensor, x_query: Tensor, y_query: Tensor
    ) -> Tensor:
        phi = methods.adapt(theta, x_support, y_support, alpha=alpha, steps=steps, inner_loop=inner_loop)
        return mse(phi, x_query, y_query)

    return vmap(grad(after_adaptation), in_dims=(None, 0, 0, 0, 0))(theta, *batch[:4])


def rows(change: Callable[[Tensor], Tensor]) -> Answer:
    return lambda **case: {name: change(g) for name, g in each_task(**case).items()}


def carried_on_rows(theta: Params, batch: SineBatch, alpha: float, steps: int) -> Params:
    """Row i differentiates through the adaptation to all tasks up to i."""

    def losses(theta: Params) -> Tensor:
        found = []
        for x_support, y_support, x_query, y_query in zip(*batch[:4], strict=True):
            theta = methods.adapt(theta, x_support, y_support, alpha=alpha, steps=steps)
            found.append(mse(theta, x_query, y_query))
        return torch.stack(found)

    return torch.func.jacrev(losses)(theta)


per_task_gradients = Exercise(
    name="per_task_gradients",
    doc="""Check f(theta, batch, alpha, steps) → each task's meta-gradient: like theta, with a first axis of T tasks.

    Row i is ∇_θ L(θ_i^(K); query_i); the mean over rows is line 10's gradient.
    """,
    case=batch_case,
    oracle=each_task,
    mistakes={
        "Every row is the mean over tasks; row i belongs to task i alone.": rows(
            lambda g: g.mean(0, keepdim=True).expand_as(g)
        ),
        "Every row is the sum over tasks; row i belongs to task i alone.": rows(
            lambda g: g.sum(0, keepdim=True).expand_as(g)
        ),
        "The rows are divided by the number of tasks: these are the terms of the mean.": rows(lambda g: g / TASKS),
        "The rows look like sums over the query points; they must be means over them.": rows(lambda g: QUERY * g),
        "Row i holds the tasks before it as well: .backward() adds to what is in .grad.": rows(lambda g: g.cumsum(0)),
        "The rows are in reverse order.": rows(lambda g: g.flip(0)),
        "They are first-order gradients, taken at φ instead of back through φ to θ.": partial(
            each_task, inner_loop=partial(methods.inner_loop, first_order=True)
        ),
        "They are taken at θ instead of φ, as if before adaptation: φ is not used.": altered(
            each_task, alpha=lambda alpha: 0.0
        ),
        ON_QUERY: altered(each_task, batch=taken("query", "query")),
        ON_SUPPORT: altered(each_task, batch=taken("support", "support")),
        SWAPPED: altered(each_task, batch=taken("query", "support")),
        TOO_FEW: altered(each_task, steps=lambda K: K - 1),
        TOO_MANY: altered(each_task, steps=lambda K: K + 1),
        CARRIED_ON: carried_on_rows,
    },
)
