"""The harness that runs chapters as other machines would: what it records, and how it judges."""

import ast
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import elsewhere
import margins
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def recorded(source, **names):
    """Run a cell with its comparisons recorded; return their slacks by the assertion's text."""
    margins.slacks.clear()
    tree = margins.Margins("here").visit(ast.parse(source))
    names |= {"__l2l_compare__": margins.compare, "torch": torch}
    try:
        exec(compile(tree, "cell", "exec"), names)
        failed = False
    except AssertionError:
        failed = True
    found = {site.removeprefix("here: "): slack for site, slack in margins.slacks.items()}
    margins.slacks.clear()
    return found, failed


@pytest.mark.parametrize(
    ("assertion", "slack"),
    [
        ("a < 5", 2.0),
        ("a > 5", -2.0),
        ("1 < a < 7", 2.0),
        ("7 < a < 9", -4.0),  # the second comparison is never reached
        ("a >= 3", 0.0),
        ("not a > 5", 2.0),
        ("a < 10 and abs(a - 2) < 4", 3.0),
        ("(x < 4).all()", 1.0),
        ("((x > 0) & (x < 9)).all()", 1.0),
        ("all(v < 5 for v in (1, 2, 4))", 1.0),
        ("not x[0] < -math.inf", math.inf),
    ],
)
def test_slack_is_what_it_takes_to_fail(assertion, slack):
    found, failed = recorded(f"assert {assertion}", a=3, x=torch.tensor([1.0, 3.0]), math=math)
    assert found == {ast.unparse(ast.parse(assertion)): slack}
    assert failed == (slack < 0)


@pytest.mark.parametrize(
    "assertion", ["(x < 2).any()", "x[x < 2].sum() == 1", "(x > 1).sum() == 1", "a == 3", "a in (1, 3)"]
)
def test_what_an_assertion_does_not_depend_on_alone_is_left(assertion):
    assert recorded(f"assert {assertion}", a=3, x=torch.tensor([1.0, 3.0])) == ({}, False)


def test_a_count_is_recorded_and_not_what_it_counts():
    found, _ = recorded("assert (x > 1).sum() >= 1", x=torch.tensor([1.0, 3.0, 4.0]))
    assert found == {"(x > 1).sum() >= 1": 1.0}


def test_undefined_values_fail():
    found, failed = recorded("assert (x < 4).all()", x=torch.tensor([1.0, math.nan]))
    assert failed
    assert found == {"(x < 4).all()": -math.inf}


def test_the_worst_comes_first_and_close_ones_are_counted():
    spread = {"wide": (1.0, 1.1, 1.2), "close": (0.1, 1.0, 2.0), "exact": (1e-9, 1e-9, 1e-9), "fails": (-0.1, 1.0, 1.0)}
    machines = {f"m{i}": {name: values[i] for name, values in spread.items()} for i in range(3)}
    lines, close = elsewhere.table(machines)
    assert [line.split()[-1] for line in lines[1:]] == ["fails", "close", "wide", "exact"]
    assert close == 2


def ask(code, **become):
    path = os.pathsep.join([str(ROOT / ".ci" / "machine"), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {"PYTHONPATH": path, "L2L_MACHINE": json.dumps(become)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_moved_machine_starts_elsewhere_by_a_millionth():
    code = (
        "import l2l, torch, l2l.engine.replica as r; from l2l.net import flatten; config = l2l.TrainConfig();"
        "print([flatten(l2l.init_params(generator=torch.Generator().manual_seed(0))).tolist(),"
        "r.first_replica(0, config, 'cpu').theta.tolist()])"
    )
    here, moved, again, other = (torch.tensor(json.loads(ask(code, moved=k))) for k in (0, 1, 1, 2))
    assert torch.equal(moved[0], moved[1])  # wherever parameters are drawn
    assert torch.equal(moved, again)
    assert not torch.equal(moved, other)
    assert 1e-7 < (moved / here - 1).abs().mean() < 3e-6


@pytest.mark.parametrize("engine", ["native", "compiled", "recorded", "called"])
def test_an_engine_is_the_one_that_was_asked_for(engine):
    if engine in ("native", "compiled") and shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler here")
    code = (
        "import sys, l2l; sys.modules['l2l.training'].COMPILE_FROM /= 500;"  # where this machine compiles, 10 suffice
        "config = l2l.TrainConfig(tasks=2, shots=2, query=2, sizes=(1, 3, 1), iterations=10);"
        "print(l2l.train(config).engine)"
    )
    assert ask(code, engine=engine) == engine


def test_unknown_files_are_refused_before_any_work():
    command = [sys.executable, ROOT / ".ci" / "elsewhere.py", "-n", "1", "book/nothing.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "there is no file book/nothing.ipynb" in done.stderr
