"""An exercise whose answer is random: the distribution of its tasks is examined, and not their numbers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from l2l.check.answers import Answer, Failed
from l2l.check.cases import QUERY, SHOTS, seeded
from l2l.check.exercise import Exercise
from l2l.check.sandbox import call
from l2l.tasks import SineTasks

MANY = 2_000  # tasks
PAPER = SineTasks()
RANGES = {"x_support": PAPER.x_range, "x_query": PAPER.x_range, "A": PAPER.amplitude, "b": PAPER.phase}

REPEATED = "a second call gave the same values again. Is the generator seeded anew inside your function?"
IRREPRODUCIBLE = "the generator, seeded as before, gave other tasks. Does every torch.rand have generator=generator?"
TWICE = "Draw a separate x for every support point and every query point."
PER_POINT = (
    "a task's support points lie on no sinusoid A sin(x + b). Is an amplitude or phase drawn for each point? "
    "Draw one for each task, of shape [tasks, 1, 1]."
)
REDRAWN = (
    "query and support points of a task lie on different sinusoids. An amplitude or phase seems to be drawn anew "
    "for the query points."
)
DEPENDENT = "A and b depend on each other. Do they come from one torch.rand?"


def not_uniform(what: str) -> str:
    low, high = RANGES[what]
    return f"{what} is not uniform on [{low:.3g}, {high:.3g}]"


def sampling_case(i: int, generator: torch.Generator) -> dict:
    return {"tasks": MANY, "shots": SHOTS, "query": QUERY, "generator": generator}


def draw(tasks: int, shots: int, query: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    return PAPER.sample(tasks, shots, query, generator=generator)[:4]


def fit(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """p and q of y = p sin x + q cos x, by least squares over the last axis."""
    p_q = torch.linalg.lstsq(torch.stack([x.sin(), x.cos()], -1), y[..., None]).solution[..., 0]
    return p_q[..., 0], p_q[..., 1]


class Sampling(Exercise):
    """An exercise whose mistakes are told from the distribution of the answer."""

    def examine(self, function: Answer, seed: int | None) -> None:
        seed, generator = seeded(seed)
        first = self._drawn(function, generator)
        if not all(values.isfinite().all() for values in first):
            raise Failed(f"{self.name}: the answer holds infinite or undefined values (inf or nan).")
        if any(map(torch.equal, first, self._drawn(function, generator))):
            raise Failed(f"{self.name}: {REPEATED}")
        generator.manual_seed(seed)
        if not all(map(torch.equal, first, self._drawn(function, generator))):
            raise Failed(f"{self.name}: {IRREPRODUCIBLE}")
        if fault := points_fault(*first) or range_fault(*first):
            raise Failed(f"{self.name}: {fault}")
        print(f"{self.name}: right; {MANY:,} tasks have the distribution that they should.")

    def _drawn(self, function: Answer, generator: torch.Generator) -> Sequence[Tensor]:
        """x_support, y_support [T, n], x_query, y_query [T, Q]."""
        shapes = [(MANY, SHOTS, 1)] * 2 + [(MANY, QUERY, 1)] * 2
        answer = call(self.name, function, self.case(0, generator))
        listed = answer[:4] if isinstance(answer, list | tuple) else None
        got = type(answer) if listed is None else [tuple(getattr(values, "shape", ())) for values in listed]
        if listed is None or got != shapes:
            wanted = f"the answer must be x_support, y_support, x_query, y_query of shapes {shapes}"
            raise Failed(f"{self.name}: {wanted}, got {got}.")
        return [torch.as_tensor(values).double()[..., 0] for values in listed]


def points_fault(xs: Tensor, ys: Tensor, xq: Tensor, yq: Tensor) -> str | None:
    """Say what is wrong with the points of a task, if anything is."""
    x, y = torch.cat([xs, xq], 1), torch.cat([ys, yq], 1)
    twice = (x.sort(1).values.diff(dim=1) == 0).any(1).double().mean()
    if twice > 0.05:
        return f"an x occurs twice in {100 * twice:.0f} % of the tasks. {TWICE}"
    if _distance(xs, ys).median() > 1e-4:
        return PER_POINT
    if _distance(x, y).median() > 1e-4:
        return REDRAWN
    return None


def _distance(x: Tensor, y: Tensor) -> Tensor:
    """[T]: the largest |y - (p sin x + q cos x)| from the nearest sinusoid."""
    p, q = fit(x, y)
    return (p[:, None] * x.sin() + q[:, None] * x.cos() - y).abs().amax(-1)


def range_fault(xs: Tensor, ys: Tensor, xq: Tensor, yq: Tensor) -> str | None:
    """Say what is wrong with the distribution of inputs, amplitudes and phases, if anything is."""
    p, q = fit(torch.cat([xs, xq], 1), torch.cat([ys, yq], 1))
    A, b = torch.hypot(p, q), torch.atan2(q, p)
    b = torch.where(b < -math.pi / 2, b + 2 * math.pi, b)  # π and -π are one angle
    for what, values in {"x_support": xs.flatten(), "x_query": xq.flatten(), "A": A, "b": b}.items():
        low, high = RANGES[what]
        u = ((values - low) / (high - low)).sort().values
        off = (u - torch.linspace(0, 1, len(u), dtype=u.dtype)).abs().max().item()  # Kolmogorov and Smirnov's distance
        ends = max(u[0].abs().item(), (1 - u[-1]).abs().item())  # below 1 % but once in 10⁸ times
        if off > 3 / math.sqrt(MANY) or ends > 0.01:
            return (
                f"{not_uniform(what)}; yours runs from {values.min():.3g} to {values.max():.3g}, with mean "
                f"{values.mean():.3g} and {len(values.unique()):,} different values."
            )
    if torch.corrcoef(torch.stack([A, b]))[0, 1].abs() > 6 / math.sqrt(MANY):
        return DEPENDENT
    return None
