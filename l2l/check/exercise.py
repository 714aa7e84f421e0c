"""An exercise: random cases, an oracle, and known mistakes."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from l2l.check.answers import Answer, Failed, NotWritten, deviation, equals, formed, numbers
from l2l.check.cases import CASES, seeded
from l2l.check.diagnosis import described, diagnosis, factor, shown
from l2l.check.sandbox import call, copies, unchanged


@dataclass(frozen=True, eq=False, repr=False)
class Exercise:
    """The check of an exercise, to be called with a learner's function."""

    name: str
    """The name under which `l2l.check` has the exercise."""
    doc: str
    """What the learner's function is to do, for `help`."""
    case: Callable[[int, torch.Generator], dict]
    """Draws the arguments of case i, by name, in the order in which they are passed."""
    oracle: Answer
    """Gives the right answer."""
    mistakes: Mapping[str, Answer]
    """What to tell the learner → the function that makes the mistake."""
    observed: Callable[[list[Tensor], dict], Tensor] | None = None
    """Computes what is compared from an answer's tensors and the arguments; by default, the answer's own numbers."""
    then: "Exercise | None" = None
    """A second check, run if the function passes this one."""

    def __post_init__(self):
        object.__setattr__(self, "__doc__", inspect.cleandoc(self.doc))

    def __repr__(self) -> str:
        return f"check.{self.name}(function, *, seed=None)"

    def __call__(self, function: Answer, *, seed: int | None = None) -> None:
        """Print one line if the function is right, and one if it only raises NotImplementedError, as it does before
        anything is written, so that a notebook with unsolved exercises still runs to its end.

        Args:
            function: the learner's function.
            seed: repeats the cases of an earlier run.

        Raises:
            Failed: the function is not right; the message says what is wrong.
        """
        try:
            self.grade(function, seed=seed)
        except NotWritten as answer:
            print(answer)

    def grade(self, function: Answer, *, seed: int | None = None) -> None:
        """The same, for grading: a function that is not written yet counts as wrong.

        Raises:
            Failed: the function is not right, or not written.
        """
        self.examine(function, seed)
        if self.then is not None:
            self.then.grade(function, seed=seed)

    def examine(self, function: Answer, seed: int | None) -> None:
        """Compare a learner's function with the oracle on random cases, and its answers with those of mistakes."""
        seed, generator = seeded(seed)
        cases = [self.case(i, generator) for i in range(CASES)]
        rights = [self.oracle(**copies(case)) for case in cases]

        def in_each_case(answer: Callable[[dict], object]) -> Iterator[Tensor]:
            for case, right in zip(cases, rights, strict=True):
                yield self.compared(answer, case, right)

        def called(answer: Answer) -> Callable[[dict], object]:
            return lambda given: answer(**given)

        expected = list(in_each_case(called(self.oracle)))
        answers = list(in_each_case(lambda given: call(self.name, function, given)))
        for case, answer, right in zip(cases, answers, expected, strict=True):
            if not answer.isfinite().all() and right.isfinite().all():
                nan = "the answer holds infinite or undefined values (inf or nan)"
                raise Failed(f"{self.name}: {nan}, {described(case)}.")
        off = [deviation(answer, right) for answer, right in zip(answers, expected, strict=True)]
        wrong = [i for i in range(CASES) if not equals(answers[i], expected[i])]
        if not wrong:
            print(f"{self.name}: right in {CASES} of {CASES} random cases; largest relative deviation {max(off):.0e}.")
            return
        factors = {}
        for mistake, mistaken in self.mistakes.items():
            factors[mistake] = factor(answers, in_each_case(called(mistaken)))
            if factors[mistake] == 1:
                break
        i = wrong[0]
        lines = (
            f"{self.name}: not right yet, in {len(wrong)} of {CASES} random cases (seed={seed} repeats them).",
            f"  For example {described(cases[i])}:",
            f"    expected {shown(expected[i])}",
            f"    got      {shown(answers[i])}",
            f"    relative error {off[i]:.2g}",
            f"  {diagnosis(cases, answers, expected, factors)}",
        )
        raise Failed("\n".join(lines))

    def compared(self, answer: Callable[[dict], object], case: dict, right: object) -> Tensor:
        """The vector that is compared, from the answer in this case."""
        given = copies(case)
        output = answer(given)
        unchanged(self.name, case, given)
        tensors = formed(self.name, output, right)
        return numbers(self.observed(tensors, given) if self.observed else tensors)
