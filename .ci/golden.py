"""Write the golden vectors: `python .ci/golden.py`, or with a file's name to write them elsewhere.

Each gradient is computed three times, by automatic differentiation, as the product of line 10, and by finite
differences of the outer loss, and written only where they agree.
"""

import json
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from l2l.check.answers import deviation, numbers
from l2l.check.cases import CASES, seeded
from l2l.check.conformance import PROBLEMS, Problem
from l2l.check.golden import GOLDEN
from l2l.check.line_10 import chain, maml_gradient
from l2l.methods import Loss, adapt
from l2l.net import Params, flatten, unflatten

DIGITS = 9  # of a mistake's gradient: to be recognised by
ABOUT = (
    "Meta-gradients of MAML: theta, batch, alpha, steps -> gradient, the derivative by theta of the mean over tasks of "
    "the query loss after that many inner steps, each theta - alpha * (gradient of the task's support loss). In double "
    "precision. W is [in, out], points are rows: x W + b. The first axis of every part of a batch is that of tasks. "
    "Under mistakes, sentence -> the gradient that this mistake gives, all entries of theta one after another in "
    "the order of its names, to 9 digits."
)


def outer_loss(theta: Params, loss: Loss, batch: tuple, alpha: float, steps: int) -> Tensor:
    losses = [
        loss(adapt(theta, x, y, alpha=alpha, steps=steps, loss=loss), x_query, y_query)
        for x, y, x_query, y_query in zip(*batch, strict=True)
    ]
    return torch.stack(losses).mean()


def by_differences(loss: Loss, theta: Params, batch: tuple, alpha: float, steps: int, h: float = 1e-6) -> Tensor:
    start = flatten(theta).detach()
    value = partial(outer_loss, loss=loss, batch=batch, alpha=alpha, steps=steps)
    slopes = [
        (value(unflatten(start + e, theta)) - value(unflatten(start - e, theta))) / (2 * h)
        for e in h * torch.eye(len(start), dtype=start.dtype)
    ]
    return torch.stack(slopes).detach()


def case(problem: Problem, i: int, generator: torch.Generator) -> dict:
    """One case, with its gradient and those of the mistakes."""
    given = problem.case(i, generator)
    exact = maml_gradient(**given, loss=problem.loss)
    right = numbers(exact)
    for name, other, most in (
        ("product differs", chain(lambda points: points[::-1], problem.loss)(**given), 1e-12),
        ("differences differ", by_differences(problem.loss, **given), 1e-7),
    ):
        if (off := deviation(numbers(other), right)) > most:
            raise ValueError(f"case {i} of {problem.network}: the {name} by {off:.1e}")
    mistakes = {}
    for sentence, mistaken in problem.exercise().mistakes.items():
        vector = numbers(mistaken(**given))
        if deviation(vector, right) > 1e-3:  # else it is none here, as with a single step
            mistakes[sentence] = [float(f"{value:.{DIGITS}g}") for value in vector.tolist()]
    return {
        "theta": {name: p.tolist() for name, p in given["theta"].items()},
        "batch": {field: values.tolist() for field, values in given["batch"]._asdict().items()},
        "alpha": given["alpha"],
        "steps": given["steps"],
        "gradient": {name: g.tolist() for name, g in exact.items()},
        "mistakes": mistakes,
    }


def main(path: Path = GOLDEN) -> None:
    torch.set_num_threads(1)
    problems = {}
    for name, problem in PROBLEMS.items():
        generator = seeded(0)[1]
        problems[name] = {
            "network": problem.network,
            "loss": problem.loss_in_words,
            "cases": [case(problem, i, generator) for i in range(CASES)],
        }
    path.write_text(json.dumps({"about": ABOUT, "problems": problems}, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
