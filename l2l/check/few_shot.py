"""The exercises of the chapter on few-shot learning: sinusoids, drawn and fitted."""

import math

import torch
from torch import Tensor

from l2l.check.cases import number, uniform
from l2l.check.exercise import Exercise
from l2l.check.sampling import (
    DEPENDENT,
    IRREPRODUCIBLE,
    PAPER,
    PER_POINT,
    REDRAWN,
    REPEATED,
    TWICE,
    Sampling,
    draw,
    fit,
    not_uniform,
    sampling_case,
)
from l2l.tasks import SineTasks

# Mistakes of one who draws tasks.


def per_point(tasks, shots, query, generator):
    batch, points = draw(tasks, shots, query, generator), draw(tasks * shots, 1, 1, generator)
    return points[0].reshape(tasks, shots, 1), points[1].reshape(tasks, shots, 1), *batch[2:]


def redrawn(tasks, shots, query, generator):
    return *draw(tasks, shots, query, generator)[:2], *draw(tasks, shots, query, generator)[2:]


def support_among_query(tasks, shots, query, generator):
    _, _, x_query, y_query = draw(tasks, shots, query, generator)
    return x_query[:, :shots], y_query[:, :shots], x_query, y_query


def seeded_inside(tasks, shots, query, generator):
    return draw(tasks, shots, query, torch.Generator().manual_seed(0))


def generator_unused(tasks, shots, query, generator):
    own = torch.Generator()
    own.seed()
    return draw(tasks, shots, query, own)


def amplitude_gives_phase(tasks, shots, query, generator):
    batch = PAPER.sample(tasks, shots, query, generator=generator)
    low, high = PAPER.amplitude
    A = batch.amplitude[:, None, None]
    b = math.pi * (A - low) / (high - low)
    return batch.x_support, A * torch.sin(batch.x_support + b), batch.x_query, A * torch.sin(batch.x_query + b)


def query_on_half_axis(tasks, shots, query, generator):
    halved = SineTasks(x_range=(0.0, 5.0))
    return halved.sample(tasks, shots, query, generator=generator, support_range=PAPER.x_range)[:4]


def support_on_half_axis(tasks, shots, query, generator):
    return PAPER.sample(tasks, shots, query, generator=generator, support_range=(0.0, 5.0))[:4]


def amplitude_from_zero(tasks, shots, query, generator):
    return SineTasks(amplitude=(0.0, 5.0)).sample(tasks, shots, query, generator=generator)[:4]


def phase_of_a_whole_turn(tasks, shots, query, generator):
    return SineTasks(phase=(0.0, 2 * math.pi)).sample(tasks, shots, query, generator=generator)[:4]


sample_tasks = Sampling(
    name="sample_tasks",
    doc="""Check f(tasks, shots, query, generator) → x_support, y_support [T, n, 1], x_query, y_query [T, Q, 1].

    A task is y = A sin(x + b) with A ~ U[0.1, 5], b ~ U[0, π], x ~ U[-5, 5]; its query points lie on the same sinusoid.

    Source: Finn et al. (2017), section 5.1.
    """,
    case=sampling_case,
    oracle=draw,
    mistakes={
        REPEATED: seeded_inside,
        IRREPRODUCIBLE: generator_unused,
        TWICE: support_among_query,
        PER_POINT: per_point,
        REDRAWN: redrawn,
        not_uniform("x_support"): support_on_half_axis,
        not_uniform("x_query"): query_on_half_axis,
        not_uniform("A"): amplitude_from_zero,
        not_uniform("b"): phase_of_a_whole_turn,
        DEPENDENT: amplitude_gives_phase,
    },
)


def points_case(i: int, generator: torch.Generator) -> dict:
    A, b, x = number(generator, 0.5, 5), number(generator, 0.2, 2.9), uniform(generator, -5, 5, 3 + i)
    if i == 0:
        b = math.pi / 2 + b / 2  # where cos b is negative
    return {"x": x, "y": A * torch.sin(x + b)}


def amplitude_and_phase(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    p, q = fit(x, y)
    return torch.hypot(p, q), torch.atan2(q, p)


def swapped_in_atan2(x, y):
    p, q = fit(x, y)
    return torch.hypot(p, q), torch.atan2(p, q)


def by_atan(x, y):
    p, q = fit(x, y)
    return torch.hypot(p, q), torch.atan(q / p)


def by_asin(x, y):
    p, q = fit(x, y)
    return torch.hypot(p, q), torch.asin(q / torch.hypot(p, q))


def phase_first(x, y):
    A, b = amplitude_and_phase(x, y)
    return b, A


def phase_negative(x, y):
    A, b = amplitude_and_phase(x, y)
    return A, -b


fit_sinusoid = Exercise(
    name="fit_sinusoid",
    doc="""Check f(x, y) → (A, b): y = A sin(x + b) goes through points [n] without noise, A > 0 and b in [0, π].

    The sinusoid is linear in p = A cos b and q = A sin b: y = p sin x + q cos x.
    """,
    case=points_case,
    oracle=amplitude_and_phase,
    mistakes={
        "It looks like atan2 with its arguments swapped: b = atan2(q, p), with q the coefficient of cos x.": (
            swapped_in_atan2
        ),
        "It looks like atan(q/p), which gives no angle beyond π/2; atan2(q, p) uses the signs of both.": by_atan,
        "It looks like asin(q/A), which gives no angle beyond π/2; atan2(q, p) uses the signs of both.": by_asin,
        "b comes before A; return (A, b).": phase_first,
        "These are p and q themselves; A and b are the length and the angle of the vector (p, q).": fit,
        "b has the wrong sign: sin(x + b) = cos(b) sin(x) + sin(b) cos(x).": phase_negative,
    },
)
