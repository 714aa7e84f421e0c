"""The exercise of the chapter on MAML: the curve of adaptation."""

from collections.abc import Callable

import torch
from torch import Tensor

import l2l.methods as methods
from l2l.check.answers import Answer
from l2l.check.cases import TASKS, batch_case
from l2l.check.exercise import Exercise
from l2l.check.mistakes import CARRIED_ON, negative, usual
from l2l.evaluate import adaptation_curve as curve
from l2l.methods import Loss
from l2l.net import Params, mse
from l2l.tasks import SineBatch


def query_curve(theta: Params, batch: SineBatch, alpha: float, steps: int) -> Tensor:
    return curve(theta, batch, alpha=alpha, steps=steps).query.mean(1)


def task_after_task(next_start: Callable[[Params, Params], Params], loss: Loss = mse) -> Answer:
    """The curve of one who starts each task at `next_start(theta, phi)` of the task before it."""

    def errors(theta, batch, alpha, steps):
        total = torch.zeros(steps + 1, dtype=torch.float64)
        for x_support, y_support, x_query, y_query in zip(*batch[:4], strict=True):
            points = list(methods.inner_loop(theta, x_support, y_support, alpha=alpha, steps=steps, loss=loss))
            total += torch.stack([mse(phi, x_query, y_query) for phi in points]) / TASKS
            theta = next_start(theta, points[-1])
        return total

    return errors


def from_the_first_step(theta, batch, alpha, steps):
    return query_curve(theta, batch, alpha, steps + 1)[1:]


def all_at_start(theta, batch, alpha, steps):
    return torch.stack([query_curve(theta, batch, k * alpha, 1)[1] for k in range(steps + 1)])


adaptation_curve = Exercise(
    name="adaptation_curve",
    doc="""Check f(theta, batch, alpha, steps) → [steps+1], the query error after 0, 1, … steps, mean over tasks.

    Source: Finn et al. (2017), figure 3.
    """,
    case=batch_case,
    oracle=query_curve,
    mistakes={
        "The steps climb the loss: each must be minus α times the gradient.": task_after_task(
            lambda theta, phi: theta, loss=negative(mse)
        ),
        CARRIED_ON: task_after_task(lambda theta, phi: phi),
        "The curve starts after the first step; its first entry must be the error at theta.": from_the_first_step,
        "Every inner gradient seems to be taken at θ; step k must take its gradient at θ^(k-1).": all_at_start,
        **usual(query_curve),
    },
)
