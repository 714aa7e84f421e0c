"""Golden vectors: cases of the problems of `verify` with their meta-gradients in a file, for any language."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from l2l._validation import one_of
from l2l.check.answers import Failed
from l2l.check.cases import CASES
from l2l.check.conformance import PROBLEMS
from l2l.tasks import Batch

GOLDEN = Path(__file__).parents[1] / "data" / "golden.json"


def golden_case(stored: Mapping) -> dict:
    """The arguments of a stored case, as `verify` passes them."""
    theta, batch = ({name: tensor(value) for name, value in stored[part].items()} for part in ("theta", "batch"))
    return {"theta": theta, "batch": Batch(**batch), "alpha": stored["alpha"], "steps": stored["steps"]}


def tensor(value: list) -> Tensor:
    """A tensor of int64 where JSON has whole numbers, such as labels, and of float64 elsewhere."""
    return torch.from_numpy(np.array(value))


def verify_answers(path: Path) -> None:
    """Say whether the gradients in a file are those of the golden cases: for implementations in other languages.

    Args:
        path: JSON, {problem: [gradient of its first case, …]}; each is like `theta`, or one flat list.

    Raises:
        Failed: some gradients are not right; the message says what is wrong.
        ValueError: the file does not have this form.
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
            replay(name, problems[name]["cases"], gradients)
        except Failed as failure:
            print(failure)
            failed.append(name)
    if failed:
        raise Failed(f"Not right: {', '.join(failed)}.")


def replay(name: str, stored: list[Mapping], gradients: list) -> None:
    """Examine gradients as if a function had just returned them, one for each case."""
    exercise, answers = PROBLEMS[name].exercise(lambda i, generator: golden_case(stored[i])), iter(gradients)

    def answer(*case: object) -> object:
        gradient = next(answers)
        return {n: tensor(g) for n, g in gradient.items()} if isinstance(gradient, dict) else tensor(gradient)

    exercise.examine(answer, seed=0)
