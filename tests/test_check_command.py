"""`python -m l2l check` says what a notebook says, and its exit status says whether the answer is right."""

import subprocess
import sys

import pytest

from l2l import check
from l2l.cli import main

ANSWERS = """\
import helper
from torch.func import grad
from l2l import mse

def my_adapt(theta, x, y, alpha, steps):
    import helper_of_the_call
    for k in range(steps):
        theta = {n: theta[n] - alpha * g for n, g in grad(mse)(theta, x, y).items()}
    return theta

def once(theta, x, y, alpha, steps):
    return my_adapt(theta, x, y, alpha, 1)

class Adapt:
    def __call__(self, *case):
        return my_adapt(*case)

adapt = Adapt()
number = 7
if __name__ == "__main__":
    raise RuntimeError("only for python answers.py")
"""


@pytest.fixture(autouse=True)
def answers(tmp_path, monkeypatch):
    (tmp_path / "answers.py").write_text(ANSWERS, encoding="utf-8")
    (tmp_path / "helper.py").write_text("", encoding="utf-8")
    (tmp_path / "helper_of_the_call.py").write_text("", encoding="utf-8")
    (tmp_path / "unfinished.py").write_text("def my_adapt(:\n", encoding="utf-8")
    (tmp_path / "raises.py").write_text("x = 1\nraise KeyError('W9')\n", encoding="utf-8")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit()\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("l2l.check.sandbox.SECONDS", 180.0)
    yield
    for name in ("helper", "helper_of_the_call"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["my_adapt", "adapt"])
def test_a_right_answer(name, capsys):
    assert main(["check", "adapt", f"answers.py:{name}", "--seed", "4"]) == 0
    printed = capsys.readouterr()
    check.adapt(lambda *case: check.adapt.oracle(*case), seed=4)
    assert printed.out == capsys.readouterr().out != ""
    assert printed.err == ""


def test_a_wrong_answer_is_told_as_in_a_notebook(capsys):
    assert main(["check", "adapt", "answers.py:once", "--seed", "4"]) == 1
    printed = capsys.readouterr()
    with pytest.raises(check.Failed) as failure:
        check.adapt(lambda theta, x, y, alpha, steps: check.adapt.oracle(theta, x, y, alpha, 1), seed=4)
    assert printed.out == f"{failure.value}\n"
    assert "It takes one step, whatever steps says." in printed.out
    assert printed.err == ""


def test_without_a_name_it_lists_the_exercises(capsys):
    assert main(["check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(check.EXERCISES)
    assert lines[2].split(maxsplit=1)[1].startswith("f(theta, x, y, alpha, steps) → φ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hessian", "answers.py:my_adapt"], "hessian_vector_product, unrolled_product, meta_gradient"),
        (["adapt"], "needs a function, such as answers.py:my_adapt"),
        (["adapt", "answers.py"], "must be given as file.py:function or module:function, got 'answers.py'"),
        (["adapt", ":my_adapt"], "must be given as file.py:function"),
        (["adapt", "absent.py:my_adapt"], "there is no file absent.py"),
        (["adapt", ".:my_adapt"], "there is no file ."),
        (["adapt", "answers.py:my_adopt"], "answers.py has no function 'my_adopt'; it has my_adapt, once"),
        (["adapt", "answers.py:number"], "answers.py has no function 'number'"),
        (["adapt", "helper.py:f"], "helper.py has no function 'f'; it has none"),
        (["adapt", "unfinished.py:my_adapt"], "unfinished.py: SyntaxError: "),
        (["adapt", "raises.py:my_adapt"], "raises.py, line 2: KeyError: 'W9'"),
        (["adapt", "leaves.py:my_adapt"], "leaves.py, line 2: SystemExit"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, words, capsys):
    assert main(["check", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert printed.err.startswith("l2l: ")
    assert printed.err.count("\n") == 1


def test_the_status_of_the_process(tmp_path):
    def status(function):
        command = [sys.executable, "-m", "l2l", "check", "adapt", f"{tmp_path}/answers.py:{function}"]
        return subprocess.run(command, capture_output=True, cwd=tmp_path).returncode

    assert [status(name) for name in ("my_adapt", "once", "number")] == [0, 1, 2]
