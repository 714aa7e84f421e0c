"""What a wrong answer looks like: the answer of a known mistake, or a multiple of that or of the right answer."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from l2l.check.answers import deviation, equals, kind, tolerance
from l2l.check.cases import QUERY, SHOTS, TASKS


def diagnosis(
    cases: list[dict], answers: list[Tensor], expected: list[Tensor], factors: Mapping[str, float | None]
) -> str:
    """Say what is wrong. `factors`: mistake → c, where answer = c · the mistake's answer in every case, or None."""
    named = next((mistake for mistake, times in factors.items() if times == 1), None)
    if named:
        return named
    if not any(answer.any() for answer in answers):
        return "It is zero in every case."
    if times := factor(answers, expected):
        return f"It is the expected answer {in_words(times, cases[0])}."
    for mistake, times in factors.items():
        if times:
            return f"{mistake} And all of it {in_words(times, cases[0])}."
    for answer in answers:
        eps = torch.finfo(answer.dtype).eps
        if eps > tolerance(answer) / 2:
            digits = math.floor(-math.log10(eps))
            return (
                f"It is in {str(answer.dtype).removeprefix('torch.')}, which keeps {digits} to {digits + 1} digits: "
                "too few to tell right from wrong. Compute in float32 or in float64, without autocast."
            )
    off = [deviation(answer, right) for answer, right in zip(answers, expected, strict=True)]
    if max(off) < 0.05:
        kink = " If you use finite differences, a kink of relu may lie within the step ε: try a smaller step."
        return "It is close, but off by more than rounding." + (kink if "theta" in cases[0] else "")
    wrong = [not equals(answer, right) for answer, right in zip(answers, expected, strict=True)]
    if names := unreached(cases, answers, expected):
        return (
            f"The gradient with respect to {', '.join(names)} is zero in every case: "
            "no path leads from the loss back to these parameters."
        )
    if not all(wrong) and wrong == [case.get("steps") != 1 for case in cases]:
        return "It is right where steps is 1, and wrong from the second step on."
    smallest = f" Try the smallest case by hand{': one task, one step' if 'batch' in cases[0] else ''}."
    return "The answer fits none of the mistakes that this check knows." + smallest


def unreached(cases: list[dict], answers: list[Tensor], expected: list[Tensor]) -> list[str]:
    """Names of the parameters for which the answer, a gradient, is zero in every case, and should not be."""
    theta = cases[0].get("theta")
    if not isinstance(theta, dict) or sum(p.numel() for p in theta.values()) != len(answers[0]):
        return []
    sizes = [p.numel() for p in theta.values()]

    def reached(vectors: list[Tensor]) -> list[bool]:
        parts = zip(*(vector.split(sizes) for vector in vectors), strict=True)
        return [any(part.any() for part in of_one) for of_one in parts]

    both = zip(theta, reached(answers), reached(expected), strict=True)
    return [name for name, found, wanted in both if wanted and not found]


def factor(answers: list[Tensor], others: Iterable[Tensor]) -> float | None:
    """The number c with answers = c · others in every case; exactly 1 within the tolerance; None without one."""
    c: float | None = None
    for a, o in zip(answers, others, strict=True):  # one by one: the first case mostly ends it
        o = o.double()
        if c is None:
            c = 1 if equals(a, o) else ((a.double() @ o) / (o @ o)).item()  # of the least squares ‖a - c·o‖²
        if not equals(a, c * o):
            return None
    return c if c is not None and (c == 1 or abs(c - 1) > 1e-2) else None


def in_words(times: float, case: dict) -> str:
    """Say what a factor looks like: a sign, a sum where a mean should be, a wrong count."""
    close = (words for number, words in known_factors(case).items() if math.isclose(times, number, rel_tol=1e-3))
    return next(close, f"times {times:.4g}, in every case")


def known_factors(case: dict) -> dict[float, str]:
    """Factor → what it looks like, in exercises with these arguments."""
    known: dict[float, str] = {-1: "with the wrong sign"}
    if "theta" not in case:
        return known
    counts = {SHOTS: "points"}
    if "batch" in case:
        counts = {
            TASKS: "tasks",
            SHOTS: "support points",
            QUERY: "query points",
            TASKS * QUERY: "tasks times query points",
            SHOTS + QUERY: "points of a task",
            TASKS * (SHOTS + QUERY): "points of all tasks",
        }
        fields = len(case["batch"])
        known[TASKS / fields] = (
            f"times {TASKS / fields}: is the sum divided by len(batch)? That is {fields}, the number of fields of a "
            "batch; the number of its tasks is len(batch.x_support)"
        )
        known[1 / TASKS] = f"times 1/{TASKS}: the sum is divided by the number of tasks once too often"
    sums = {n: f"times {n}, the number of {counted}: a sum in place of the mean" for n, counted in counts.items()}
    return known | sums


def described(case: dict) -> str:
    plain = [f"{name} = {value:.3g}" for name, value in case.items() if isinstance(value, float | int)]
    if "batch" in case:
        plain.append(f"{TASKS} tasks of {SHOTS} support and {QUERY} query points")
    tensors = [f"{name} {kind(value)}" for name, value in case.items() if isinstance(value, Tensor)]
    return "with " + ", ".join(plain or tensors)


def shown(answer: Tensor) -> str:
    entries = ", ".join(f"{number:.4g}" for number in answer[:4].tolist())
    if len(answer) <= 4:
        return f"[{entries}]" if len(answer) > 1 else entries
    return f"[{entries}, …], norm {answer.norm().item():.4g}"
