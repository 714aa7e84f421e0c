"""A learner's code can do what it likes: it is stopped in time, and what it did is said in words."""

import io
import itertools
import math
import subprocess
import sys
import threading
import time

import pytest
import torch
from torch.func import grad

from l2l import check, mse
from l2l.check import Failed

MINUTES = 180.0  # to wait for what is bound to come


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine may take long for a short answer."""
    monkeypatch.setattr("l2l.check.sandbox.SECONDS", MINUTES)


def own_adapt(theta, x, y, alpha, steps):
    for _ in range(steps):
        theta = {n: theta[n] - alpha * g for n, g in grad(mse)(theta, x, y).items()}
    return theta


def in_place(theta, x, y, alpha, steps):
    phi = own_adapt(theta, x, y, alpha, steps)
    with torch.no_grad():
        theta["b3"] += 1
    return phi


def boom(theta, x, y, alpha, steps):
    raise KeyError("W9")


def leave(theta, x, y, alpha, steps):
    exit()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (7, "the function itself, not an int"),
        (lambda *a: None, "Is there a return"),
        (lambda *a: "text", "got a str"),
        (lambda *a: {"W1": torch.zeros(1)}, "keys W1, b1"),
        (lambda *a: {n: p.mT if p.ndim == 2 else p for n, p in a[0].items()}, r"W1 must be a tensor of shape [1, 8]"),
        (lambda *a: [torch.zeros(1)], "6 tensors"),
        (lambda *a: torch.zeros(3), "shapes of theta"),
        (lambda *a: {n: p * math.nan for n, p in a[0].items()}, "nan"),
        (lambda theta, x: theta, "f(theta, x, y, alpha, steps)"),
        (in_place, "changes theta"),
        (lambda theta, *a: theta.pop("b3"), "changes theta"),
        (lambda theta, *a: theta.setdefault("loss", 0.0), "changes theta"),
        (lambda *a: dict.fromkeys(a[0]), "cut this tensor off from the loss"),
        (lambda *a: [torch.zeros(1)] * 2, "got 2"),
        (torch.no_grad()(lambda *a: a[0]["W9"]), 'torch.no_grad()(lambda *a: a[0]["W9"])'),
        (boom, 'raise KeyError("W9")'),
        (lambda theta, x, y, *a: mse(theta, x, y[:, 0]), "your code: (lambda theta, x, y, *a: mse(theta, x, y[:, 0])"),
        (
            leave,
            f"leaves Python: return the answer.\n  in line {leave.__code__.co_firstlineno + 1} of your code: exit()",
        ),
        (lambda *a: sys.exit("done"), "ended in exit() or sys.exit()"),
    ],
)
def test_says_clearly_what_it_was_given(function, words, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())  # which exit() closes
    with pytest.raises(Failed) as failure:
        check.adapt(function)
    assert words in str(failure.value)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__ or failure.value.__context__ is None


@pytest.fixture
def endless(monkeypatch):
    """Gives a list, to which an answer adds while it runs, and the threads of answers.

    The time that an answer has is up only when it runs. And its thread has to be stopped a second time, outside the
    answer, as may happen by chance when it ends slowly.
    """
    turns, threads = [], []  # no Event: a thread that is stopped in one may leave it locked

    class Thread(threading.Thread):
        def start(self):
            threads.append(self)
            super().start()

        def run(self):
            super().run()
            while True:
                pass

        def join(self, timeout=None):
            deadline = time.monotonic() + MINUTES
            while not turns and time.monotonic() < deadline:
                time.sleep(0.01)
            super().join(timeout)

    monkeypatch.setattr("l2l.check.sandbox.SECONDS", 0.5)
    monkeypatch.setattr(threading, "Thread", Thread)
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # Python's own, and not pytest's
    return turns, threads


def test_an_endless_loop_is_stopped(endless):
    turns, threads = endless

    def loop(theta, x, y, alpha, steps):
        while True:
            turns[:] = [1]

    with pytest.raises(Failed, match=r"never end\?\n  in line \d+ of your code: (while True:|turns\[:\] = \[1\])"):
        check.adapt(loop)
    (thread,) = threads
    thread.join(MINUTES)
    assert not thread.is_alive()


def test_a_loop_that_is_stopped_says_nothing_of_its_thread(endless, capfd):
    turns, threads = endless
    with pytest.raises(Failed, match="never end"):
        check.adapt(lambda *a: [turns or turns.append(1) for k in itertools.count()])
    (thread,) = threads
    thread.join(MINUTES)
    assert not thread.is_alive()
    assert capfd.readouterr().err == ""


def test_a_notebook_shows_the_message_alone():
    pytest.importorskip("IPython")
    code = "from IPython.core.interactiveshell import InteractiveShell as S\ns = S.instance()\n"
    code += "r = s.run_cell('from l2l import check\\ncheck.adapt(lambda *a: None)')\nassert r.error_in_exec is not None"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Is there a return" in shown
    assert "Traceback" not in shown


def test_what_is_not_written_stops_no_notebook_and_gets_no_grade(capsys):
    def my_adapt(theta, x, y, alpha, steps):
        raise NotImplementedError

    check.adapt(my_adapt)
    assert capsys.readouterr().out == "adapt: not written yet.\n"
    with pytest.raises(Failed, match="not written yet"):
        check.adapt.grade(my_adapt)


def test_an_error_of_somebody_elses_code_is_no_excuse():
    def my_adapt(theta, x, y, alpha, steps):
        raise NotImplementedError("derivative for this operation")

    with pytest.raises(Failed, match="NotImplementedError: derivative"):
        check.adapt(my_adapt)
