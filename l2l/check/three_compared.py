"""The exercise of the chapter that compares three methods: an interval for paired differences."""

import math
from collections.abc import Callable

import torch
from scipy.special import stdtrit
from torch import Tensor

from l2l.check.answers import Answer
from l2l.check.cases import uniform
from l2l.check.exercise import Exercise
from l2l.stats import Means, confidence_interval


def pairs_case(i: int, generator: torch.Generator) -> dict:
    common = uniform(generator, 0, 3, 4 + i)
    return {"a": common + uniform(generator, 0, 1, 4 + i), "b": common + uniform(generator, 0, 1, 4 + i)}


def interval(a: Tensor, b: Tensor) -> tuple[Means, Means]:
    return confidence_interval(a - b)


def t(n: int, probability: float = 0.975) -> float:
    """Student's quantile for n values."""
    return stdtrit(n - 1, probability)


def wider(times: Callable[[int], float]) -> Answer:
    """The interval, `times(N)` as wide."""

    def mistaken(a: Tensor, b: Tensor) -> tuple[Means, Means]:
        mean, half = interval(a, b)
        return mean, half * times(len(a))

    return mistaken


def unpaired(a, b):
    half = stdtrit(2 * len(a) - 2, 0.975) * math.sqrt((a.var().item() + b.var().item()) / len(a))
    return (a - b).mean(), half


def half_first(a, b):
    mean, half = interval(a, b)
    return half, mean


def ends(a, b):
    mean, half = interval(a, b)
    return mean - half, mean + half


paired_interval = Exercise(
    name="paired_interval",
    doc="""Check f(a, b) → (mean of a - b, half the width of its 95 % interval), for paired values a, b [N].

    Source: Student (1908): mean ± t s/√N, with s the standard deviation of the differences.
    """,
    case=pairs_case,
    oracle=interval,
    mistakes={
        "The interval is that of two independent samples: take the differences of the pairs first.": unpaired,
        "It uses the normal's 1.96; with so few values, use Student's t.": wider(lambda n: 1.96 / t(n)),
        "The standard deviation divides by N; a sample's divides by N - 1.": wider(lambda n: math.sqrt((n - 1) / n)),
        "The division by √N is missing: this is the spread of values, not of their mean.": wider(math.sqrt),
        "It is s/√N: Student's factor t is missing.": wider(lambda n: 1 / t(n)),
        "It uses 2 for Student's factor t.": wider(lambda n: 2 / t(n)),
        "Half the width comes before the mean; return (mean, half the width).": half_first,
        "It uses the one-sided quantile t_0.95; two sides need t_0.975.": wider(lambda n: t(n, 0.95) / t(n)),
        "It is the whole width of the interval; return half of it.": wider(lambda n: 2),
        "It takes Student's t with N degrees of freedom; there are N - 1.": wider(lambda n: t(n + 1) / t(n)),
        "These are the two ends of the interval; return the mean and half the width.": ends,
        "The difference is the wrong way round: it must be a - b.": lambda a, b: interval(b, a),
    },
)
