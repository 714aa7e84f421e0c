"""A learner's code runs here: a function in a thread that can be stopped, with arguments of its own."""

import ctypes
import importlib
import os
import runpy
import sys
import sysconfig
import threading
import traceback
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from l2l.check.answers import Answer, Failed, NotWritten, kind

SECONDS = 10.0  # that one call may take
PACKAGE = Path(__file__).parents[1]
LIBRARIES = sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), Path(torch.__file__).parent, PACKAGE
NOT_THE_LEARNERS = ("<frozen ", *(f"{folder}{os.sep}" for folder in LIBRARIES))  # where names of such files begin


def from_file(text: str) -> Answer:
    """Return the function that "file.py:function" or "package.module:function" names.

    Raises:
        ValueError: there is no such file, module or function, or it raises.
    """
    file, _, name = text.rpartition(":")
    if not file:
        raise ValueError(f"the function must be given as file.py:function or module:function, got {text!r}")
    path = Path(file).resolve()
    module = not file.endswith(".py") and all(part.isidentifier() for part in file.split("."))
    if not (module or path.is_file()):
        raise ValueError(f"there is no file {file}")
    folder = Path.cwd() if module else path.parent
    sys.path.insert(0, str(folder))  # as for `python file.py`; the function may import later, when it is called
    try:
        found = vars(importlib.import_module(file)) if module else runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f"{file}, line {lines[-1]}" if lines else file
        raise ValueError(f"{place}: {type(error).__name__}: {error}".rstrip(": ")) from None
    if not callable(found.get(name)):
        functions = [n for n, value in found.items() if getattr(value, "__module__", None) == found["__name__"]]
        raise ValueError(f"{file} has no function {name!r}; it has {', '.join(functions) or 'none'}")
    return found[name]


def call(name: str, function: Answer, given: dict) -> object:
    """Call a learner's function.

    Raises:
        Failed: it raised an exception, it did not end in time, or it is not a function.
        NotWritten: it raised NotImplementedError.
    """
    if not callable(function):
        raise Failed(f"{name}: give the function itself, not {kind(function)}; write check.{name}(my_function).")
    outcome: list[tuple[object, BaseException | None]] = []

    def work() -> None:
        try:
            outcome.append((function(*given.values()), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert thread.ident is not None  # as it has started
    try:
        thread.join(SECONDS)
        if thread.is_alive():
            frame = sys._current_frames().get(thread.ident)
            place = _place(traceback.extract_stack(frame) if frame else [])
            late = f"your function had not returned after {SECONDS:g} seconds. Does a loop never end?"
            raise Failed(f"{name}: {late}{place}")
    finally:
        _stop(thread, thread.ident)
    answer, error = outcome[0]
    if isinstance(error, NotImplementedError) and not str(error):
        raise NotWritten(f"{name}: not written yet.")
    if error is not None:
        raise Failed(f"{name}: {_said(error, given)}") from None
    return answer


def _stop(thread: threading.Thread, ident: int) -> None:
    for _ in range(40):
        if thread.is_alive():
            # SystemExit, as a thread that meets it a second time, outside its try, ends without a word
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(SystemExit))
            thread.join(0.05)


def _said(error: BaseException, given: dict) -> str:
    """Say what a learner's function raised, where, and what that may mean."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    if not frames and isinstance(error, TypeError):
        return f"your function is called as f({', '.join(given)}), and raised TypeError: {error}."
    if isinstance(error, SystemExit):
        return f"your function ended in exit() or sys.exit(), which leaves Python: return the answer.{_place(frames)}"
    return f"your function raised {type(error).__name__}: {error}{_place(frames)}{_known(error, given)}"


def _place(frames: list[traceback.FrameSummary]) -> str:
    """Say where in the learner's own code something happened."""
    own = [frame for frame in frames if not frame.filename.startswith(NOT_THE_LEARNERS)]
    return f"\n  in line {own[-1].lineno} of your code: {own[-1].line}" if own else ""


def _known(error: BaseException, given: dict) -> str:
    message = str(error)
    if "does not require grad" in message or "not have been used in the graph" in message:
        return (
            "\n  The autograd graph does not lead from there to the parameters. An inner step seems to be detached: "
            "is there a .detach(), a .data, a no_grad(), or an inner gradient without create_graph=True?"
        )
    if "backward through the graph a second time" in message:
        return (
            "\n  Autograd frees a graph after one backward pass. A graph that is used again needs retain_graph=True, "
            "or create_graph=True if the derivative itself is to be differentiated."
        )
    if "'NoneType'" in message and "theta" in given:
        return (
            "\n  Is a gradient None? Then no path leads from the loss back to that parameter: does the inner loop "
            "start from a copy, such as the one that higher makes unless copy_initial_weights=False?"
        )
    return f"\n  It was called as f({', '.join(given)})." if isinstance(error, TypeError) else ""


def copies(case: dict) -> dict:
    """The arguments, in tensors of their own."""

    def copy(value: object) -> object:
        return value.detach().clone().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value

    return tree_map(copy, case)


def unchanged(name: str, case: dict, given: dict) -> None:
    """Raise `Failed` if the arguments that a function was given are no longer those of the case."""

    def same(a: object, b: object) -> bool:
        if not isinstance(a, Tensor):
            return True
        return isinstance(b, Tensor) and b.shape == a.shape and b.dtype == a.dtype and torch.allclose(a, b)

    for argument, value in case.items():
        before, after = tree_leaves(value), tree_leaves(given[argument])
        if len(before) != len(after) or not all(map(same, before, after)):
            raise Failed(
                f"{name}: your function changes {argument}, which its caller goes on using. In-place operations such "
                "as -= and assignments into a dict do that: make a new tensor, p = p - q instead of p -= q."
            )
