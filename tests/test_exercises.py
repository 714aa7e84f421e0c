"""Every mistake that a check knows is named when it is made, and no two of an exercise are the same."""

import importlib
import inspect
import itertools
import pkgutil
import pydoc
import re
import subprocess
import sys

import pytest
import torch

from l2l import check
from l2l.check import EXERCISES, Failed
from l2l.check.answers import deviation
from l2l.check.cases import CASES, seeded
from l2l.check.diagnosis import known_factors
from l2l.check.sampling import Sampling

SEEDS = (0, 1)
PARTS = [(whole, part) for whole in EXERCISES.values() for part in (whole, whole.then) if part is not None]
MISTAKES = [
    pytest.param(whole, part, sentence, id=f"{part.name}: {sentence}")
    for whole, part in PARTS
    for sentence in part.mistakes
]


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine may take long for a short answer."""
    monkeypatch.setattr("l2l.check.sandbox.SECONDS", 180.0)


def as_a_learner_writes_it(part, answer, factor=None):
    """The same function, of arguments in their order instead of by name."""
    names = list(part.case(0, torch.Generator()))

    def function(*values):
        found = answer(**dict(zip(names, values, strict=True)))
        return found if factor is None else {name: factor * p for name, p in found.items()}

    return function


def said(exercise, function, seed):
    with pytest.raises(Failed) as failure:
        exercise(function, seed=seed)
    return str(failure.value)


@pytest.mark.parametrize(("whole", "part", "sentence"), MISTAKES)
def test_every_mistake_is_named_by_its_own_sentence(whole, part, sentence):
    function = as_a_learner_writes_it(part, part.mistakes[sentence])
    for seed in SEEDS:
        message = said(whole, function, seed)
        if isinstance(part, Sampling):  # says what it found besides
            assert sentence in message
        else:
            assert message.startswith(f"{part.name}: not right yet")
            assert message.splitlines()[-1] == f"  {sentence}"


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_the_oracle_is_right(exercise, capsys):
    for seed in SEEDS:
        exercise(as_a_learner_writes_it(exercise, exercise.oracle), seed=seed)
    parts = 1 if exercise.then is None else 2
    assert len(re.findall("right (in 5 of 5|;)|: right;", capsys.readouterr().out)) == parts * len(SEEDS)


@pytest.mark.parametrize("part", [p for _, p in PARTS if not isinstance(p, Sampling)], ids=lambda part: part.name)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_answers_coincide(part, seed):
    """By more than an answer in float32 may be off, in one case at least."""
    _, generator = seeded(seed)
    cases = [part.case(i, generator) for i in range(CASES)]
    answers = {
        sentence: [part.compared(lambda given, answer=answer: answer(**given), c, part.oracle(**c)) for c in cases]
        for sentence, answer in {"the oracle": part.oracle, **part.mistakes}.items()
    }
    for one, other in itertools.combinations(answers, 2):
        off = [deviation(a, b) for a, b in zip(answers[one], answers[other], strict=True)]
        assert max(off) > 1e-3, f"{one} = {other}"


@pytest.mark.parametrize("exercise", [check.meta_gradient, check.hessian_vector_product], ids=lambda e: e.name)
def test_every_factor_is_named(exercise):
    factors = known_factors(exercise.case(0, torch.Generator()))
    assert len(factors) == (9 if exercise is check.meta_gradient else 2)
    for factor, words in factors.items():
        message = said(exercise, as_a_learner_writes_it(exercise, exercise.oracle, factor), seed=0)
        assert message.splitlines()[-1] == f"  It is the expected answer {words}."


def test_the_registry_holds_every_exercise_of_the_chapters():
    modules = [importlib.import_module(f"l2l.check.{found.name}") for found in pkgutil.iter_modules(check.__path__)]
    named = {name: v for module in modules for name, v in vars(module).items() if isinstance(v, check.Exercise)}
    assert {name: getattr(check, name) for name in EXERCISES} == EXERCISES == named
    assert all(exercise.name == name for name, exercise in named.items())
    assert {"EXERCISES", "PROBLEMS", "Exercise", "Failed", "verify", *EXERCISES} == set(check.__all__)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_help_says_what_to_write(exercise):
    text = pydoc.render_doc(exercise, renderer=pydoc.plaintext)
    arguments = ", ".join(exercise.case(0, torch.Generator()))
    assert f"check.{exercise.name}(function, *, seed=None)\n    Check f({arguments}) → " in text
    assert "class" not in text
    assert list(inspect.signature(exercise).parameters) == ["function", "seed"]


def test_a_notebook_shows_what_to_write():
    pytest.importorskip("IPython")
    code = "from IPython.core.interactiveshell import InteractiveShell as S\nfrom l2l import check\n"
    code += "print(S.instance().inspector.info(check.meta_gradient, oname='check.meta_gradient'))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'docstring': 'Check f(theta, batch, alpha, steps) → " in shown
    assert "'definition': 'check.meta_gradient(" in shown
