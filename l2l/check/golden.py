"""Golden vectors: cases of the problems of `verify` with their meta-gradients in a file, for any language."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch

from l2l._validation import one_of
from l2l.check.answers import Failed
from l2l.check.cases import CASES
from l2l.check.conformance import PROBLEMS
from l2l.tasks import Batch

GOLDEN = Path(__file__).parents[1] / "data" / "golden.json"


def golden_case(stored: dict) -> dict:
    """The arguments of a stored case, as `verify` passes them."""
    theta = {name: torch.tensor(value, dtype=torch.float64) for name, value in stored["theta"].items()}
    labels = isinstance(stored["batch"]["y_support"][0][0], int)
    batch = Batch(
        **{
            field: torch.tensor(value, dtype=torch.int64 if labels and field[0] == "y" else torch.float64)
            for field, value in stored["batch"].items()
        }
    )
    return {"theta": theta, "batch": batch, "alpha": stored["alpha"], "steps": stored["steps"]}


def verify_answers(path: Path) -> None:
    """Say whether the gradients in a file are those of the golden cases: for implementations in other languages.

    Args:
        path: JSON, {problem: [gradient of its first case, …]}; each is like `theta`, or one flat list.

    Raises:
        Failed: some are not right; the message says how.
        ValueError: the file does not hold that.
    """
    problems = json.loads(GOLDEN.read_text(encoding="utf-8"))["problems"]
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(answers, dict) or not answers:
        raise ValueError(f"{path} must map the names of problems to lists of gradients")
    for name, gradients in answers.items():
        one_of("each problem", name, problems)
        if not isinstance(gradients, list) or len(gradients) != CASES:
            raise ValueError(f"{path} must hold {CASES} gradients for {name}, one for each golden case")
    failed = []
    for name, gradients in answers.items():
        print(f"{name}: ", end="")
        try:
            replay(name, problems[name]["cases"], iter(gradients))
        except Failed as failure:
            print(failure)
            failed.append(name)
    if failed:
        raise Failed(f"Not right: {', '.join(failed)}.")


def replay(name: str, stored: list[dict], gradients: Iterator[object]) -> None:
    exercise = PROBLEMS[name].exercise(lambda i, generator: golden_case(stored[i]))
    exercise.examine(lambda *case: as_tensors(next(gradients)), seed=0)


def as_tensors(gradient: object) -> object:
    if isinstance(gradient, dict):
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in gradient.items()}
    return torch.tensor(gradient, dtype=torch.float64)
