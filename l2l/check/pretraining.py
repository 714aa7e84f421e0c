"""The exercises of the chapter on joint pre-training: its gradient, and the function that it tends to."""

import math

import torch
from torch import Tensor

import l2l.methods as methods
from l2l.check.cases import QUERY, SHOTS, draw_batch, draw_theta, number, uniform
from l2l.check.exercise import Exercise
from l2l.check.mistakes import TURNED, altered, only, taken, turned
from l2l.net import Params, flatten
from l2l.tasks import SineBatch, SineTasks


def joint_case(i: int, generator: torch.Generator) -> dict:
    return {"theta": draw_theta(generator), "batch": draw_batch(generator)}


def joint(theta: Params, batch: SineBatch) -> Params:
    return methods.pretrain(theta, batch, alpha=0.0, steps=0).grads


def of_query(theta, batch):
    return methods.fomaml(theta, batch, alpha=0.0, steps=0).grads


def of_support(theta, batch):
    return of_query(theta, taken("support", "support")(batch))


def sum_of_means(theta, batch):
    return flatten(of_support(theta, batch)) + flatten(of_query(theta, batch))


pretrain_gradient = Exercise(
    name="pretrain_gradient",
    doc="""Check f(theta, batch) → ∇_θ mean_i L(θ; support_i ∪ query_i), the joint gradient, like theta.

    Source: the baseline of Finn et al. (2017), section 5.1.
    """,
    case=joint_case,
    oracle=joint,
    mistakes={
        "It uses the query points alone; joint training sees all points.": of_query,
        "It uses the support points alone; joint training sees all points.": of_support,
        f"It is the mean of two means; all {SHOTS} support and {QUERY} query points must have the same weight.": (
            lambda theta, batch: sum_of_means(theta, batch) / 2
        ),
        "It adds the support loss and the query loss; the joint loss is the mean over all points.": sum_of_means,
        "It is the gradient of one task only, the first; the answer is the mean over tasks.": (
            altered(joint, batch=only(0))
        ),
        "It is the gradient of one task only, the last; the answer is the mean over tasks.": (
            altered(joint, batch=only(-1))
        ),
        TURNED: turned(joint),
    },
)

Range = tuple[float, float]


def ranges_case(i: int, generator: torch.Generator) -> dict:
    low, start = number(generator, 0.1, 1), number(generator, 0, 1)
    return {
        "x": uniform(generator, -5, 5, 6),
        "amplitude": (low, low + number(generator, 1, 4)),
        "phase": (start, start + number(generator, 1, 3)),
    }


def best(x: Tensor, amplitude: Range, phase: Range) -> Tensor:
    return SineTasks(amplitude=amplitude, phase=phase).conditional_mean(x)


def middle_sinusoid(x, amplitude, phase):
    return sum(amplitude) / 2 * torch.sin(x + sum(phase) / 2)


def not_divided(x, amplitude, phase):
    return best(x, amplitude, phase) * (phase[1] - phase[0])


best_single_function = Exercise(
    name="best_single_function",
    doc="""Check f(x, amplitude, phase) → E[A sin(x + b)] at x [N], with A and b uniform, each in its (low, high).

    This is the function with the least mean squared error over all tasks, to which joint training converges.
    """,
    case=ranges_case,
    oracle=best,
    mistakes={
        "It is the sinusoid of mean amplitude and mean phase; a mean of sinusoids is flatter.": middle_sinusoid,
        "The integral over b is not divided by the width of its range.": not_divided,
        "The mean over A is missing: multiply by the mean of A.": altered(best, amplitude=lambda A: (1, 1)),
        "It uses the largest amplitude in place of the mean one.": altered(best, amplitude=lambda A: (A[1], A[1])),
        "It has the wrong sign: the integral of sin is -cos.": lambda x, amplitude, phase: -best(x, amplitude, phase),
        "It is the answer for phases in [0, π], whatever phase says.": altered(best, phase=lambda b: (0, math.pi)),
        "It is the answer for amplitudes in [0.1, 5], whatever amplitude says.": (
            altered(best, amplitude=lambda A: SineTasks().amplitude)
        ),
    },
)
