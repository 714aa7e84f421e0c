"""Run a learner's function on random cases, compare it with an oracle, and say what is wrong with it."""

import ctypes
import math
import sys
import threading
import traceback
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

CASES = 5
SECONDS = 10.0  # that one call may take
TASKS, SHOTS, QUERY = 3, 5, 7  # all different, so that a factor tells which mean is missing
TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-3}  # relative; wide enough for finite differences

Answer = Callable[..., object]
Mistakes = Mapping[str, Answer]  # what to tell the learner → the function that makes the mistake


class Failed(AssertionError):
    """A learner's function is not right yet; the message says how. Notebooks show the message alone."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class _Stop(BaseException):
    pass


def examine(name: str, function: Answer, case: Callable[[int, torch.Generator], dict], oracle: Answer,
            mistakes: Mistakes, seed: int | None) -> None:  # fmt: skip
    """Compare a learner's function with the oracle on random cases, and its answers with those of known mistakes."""
    seed, generator = seeded(seed)
    cases = [case(i, generator) for i in range(CASES)]
    rights = [oracle(**copies(c)) for c in cases]
    expected = [_flat(right) for right in rights]
    answers = []
    for c, right in zip(cases, rights, strict=True):
        given = copies(c)
        answers.append(_flat(_formed(name, call(name, function, given), right)))
        _unchanged(name, c, given)
        if not torch.isfinite(answers[-1]).all() and torch.isfinite(_flat(right)).all():
            raise Failed(f"{name}: the answer holds infinite or undefined values (inf or nan), {_describe(c)}.")
    off = [_deviation(a, e) for a, e in zip(answers, expected, strict=True)]
    wrong = [i for i in range(CASES) if off[i] > _tolerance(answers[i])]
    if not wrong:
        print(f"{name}: right in {CASES} of {CASES} random cases; largest relative deviation {max(off):.0e}.")
        return
    i = wrong[0]
    lines = [
        f"{name}: not right yet, in {len(wrong)} of {CASES} random cases (seed={seed} repeats them).",
        f"  For example {_describe(cases[i])}:",
        f"    expected {_show(expected[i])}",
        f"    got      {_show(answers[i])}",
        f"    relative error {off[i]:.2g}",
    ]
    found = next((advice for advice, mistaken in mistakes.items()
                  if all(_deviation(a, _flat(mistaken(**copies(c)))) <= _tolerance(a)
                         for a, c in zip(answers, cases, strict=True))), None)  # fmt: skip
    raise Failed("\n".join([*lines, f"  {found or _factor(answers, expected)}"]))


def seeded(seed: int | None) -> tuple[int, torch.Generator]:
    """Return a generator, and the seed that repeats it."""
    generator = torch.Generator()
    seed = generator.seed() % 10**6 if seed is None else seed
    return seed, generator.manual_seed(seed)


def call(name: str, function: Answer, given: dict) -> object:
    """Call a learner's function, in a thread that can be stopped."""
    if not callable(function):
        raise Failed(f"{name}: give the function itself, not {_kind(function)}; write check.{name}(my_function).")
    outcome = []

    def work() -> None:
        try:
            outcome.append((function(*given.values()), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        thread.join(SECONDS)
        if thread.is_alive():
            frame = sys._current_frames().get(thread.ident)
            frames = traceback.extract_stack(frame) if frame else []
            raise Failed(f"{name}: your function had not returned after {SECONDS:g} seconds. Does a loop never end?"
                         f"{_place(function, frames)}")  # fmt: skip
    finally:
        for _ in range(40):
            if thread.is_alive():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Stop))
                thread.join(0.05)
    answer, error = outcome[0]
    if error is None:
        return answer
    frames = traceback.extract_tb(error.__traceback__)[1:]
    if not frames and isinstance(error, TypeError):
        raise Failed(f"{name}: your function is called as f({', '.join(given)}), and said: {error}.") from None
    raise Failed(f"{name}: your function raised {type(error).__name__}: {error}{_place(function, frames)}"
                 f"{_known_error(str(error))}") from None  # fmt: skip


def _place(function: Answer, frames: list[traceback.FrameSummary]) -> str:
    """Say where in the learner's own code something happened."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in frames if frame.filename == file]
    if not own:
        return ""
    return f"\n  in line {own[-1].lineno} of your code: {own[-1].line}"


def _known_error(message: str) -> str:
    if "does not require grad" in message or "not have been used in the graph" in message:
        return (
            "\n  No path of derivatives leads from there back to the parameters. It looks like a detached inner step: "
            "is there a .detach(), a .data, a no_grad(), or an inner gradient without create_graph=True?"
        )
    if "backward through the graph a second time" in message:
        return "\n  The graph is gone after its first use. It looks like a missing create_graph=True."
    return ""


def copies(case: dict) -> dict:
    def copy(value):
        return value.detach().clone().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value

    return tree_map(copy, case)


def _unchanged(name: str, case: dict, given: dict) -> None:
    for argument, value in case.items():
        leaves = zip(tree_leaves(value), tree_leaves(given[argument]), strict=True)
        if not all(torch.equal(a, b) for a, b in leaves if isinstance(a, Tensor)):
            raise Failed(
                f"{name}: your function changes {argument} in place, so that the next task would start from what the "
                f"last one left. Make new tensors instead: p - alpha * g, not p -= alpha * g."
            )


def _flat(answer: object) -> Tensor:
    """All numbers of an answer, one after another."""
    return torch.cat([torch.as_tensor(leaf).detach().flatten() for leaf in tree_leaves(answer)])


def _formed(name: str, answer: object, like: object) -> list[Tensor]:
    """Return an answer's tensors in the order of those of `like`; raise unless it has that form."""
    if not isinstance(like, dict | tuple):
        return [_tensor(f"{name}: the answer", answer, list(torch.as_tensor(like).shape), _wanted(like))]
    if isinstance(like, dict) and isinstance(answer, Mapping):
        if set(answer) != set(like):
            raise Failed(f"{name}: the answer must have the keys {', '.join(like)}, got {', '.join(map(str, answer))}.")
        answer = [answer[key] for key in like]
    if not isinstance(answer, list | tuple):
        return [_tensor(f"{name}: the answer", answer, [_flat(like).numel()], _wanted(like))]
    if len(answer) != len(like):
        raise Failed(f"{name}: the answer must hold {len(like)} {'tensors' if isinstance(like, dict) else 'numbers'}, "
                     f"got {len(answer)}.")  # fmt: skip
    parts = like if isinstance(like, dict) else dict(enumerate(like, 1))
    labels = [f"{name}: {key}" if isinstance(like, dict) else f"{name}: value {key}" for key in parts]
    return [_tensor(label, a, list(torch.as_tensor(part).shape), _wanted(part))
            for label, a, part in zip(labels, answer, parts.values(), strict=True)]  # fmt: skip


def _tensor(label: str, value: object, shape: list[int], wanted: str) -> Tensor:
    try:
        tensor = torch.as_tensor(tree_map(lambda v: v.detach() if isinstance(v, Tensor) else v, value))
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or list(tensor.shape) != shape:
        hint = " Is there a return at its end?" if value is None else ""
        raise Failed(f"{label} must be {wanted}, got {_kind(value)}.{hint}")
    return tensor if tensor.is_floating_point() else tensor.double()


def _wanted(like: object) -> str:
    if isinstance(like, dict):
        return "a dict of tensors in the shapes of theta"
    if isinstance(like, tuple):
        return f"{len(like)} values"
    shape = list(torch.as_tensor(like).shape)
    return f"a tensor of shape {shape}" if shape else "a single number"


def _kind(value: object) -> str:
    if value is None:
        return "None"
    shape = f" of shape {list(value.shape)}" if hasattr(value, "shape") else ""
    article = "an" if type(value).__name__[0] in "aeiouAEIOU" else "a"
    return f"{article} {type(value).__name__}{shape}"


def _deviation(answer: Tensor, expected: Tensor) -> float:
    if answer.shape != expected.shape:
        return math.inf
    if torch.equal(answer.double(), expected.double()):
        return 0.0
    off = torch.linalg.vector_norm(answer.double() - expected.double()) / torch.linalg.vector_norm(expected.double())
    return off.nan_to_num(math.inf, math.inf).item()


def _tolerance(answer: Tensor) -> float:
    return TOLERANCE.get(answer.dtype, TOLERANCE[torch.float32])


def _factor(answers: list[Tensor], expected: list[Tensor]) -> str:
    """Say whether the answers are the expected ones times one factor."""
    pairs = [(a.double(), e.double()) for a, e in zip(answers, expected, strict=True)]
    factor = ((pairs[0][0] @ pairs[0][1]) / (pairs[0][1] @ pairs[0][1])).item()
    if not all(torch.allclose(a, factor * e, rtol=1e-4, atol=1e-5 * e.norm().item()) for a, e in pairs) or factor == 0:
        return "It is none of the mistakes that this check knows. Try the smallest case by hand: one task, one step."
    if math.isclose(factor, -1, rel_tol=1e-3):
        return "It has the wrong sign."
    means = {TASKS: "tasks", SHOTS: "support points", QUERY: "query points", TASKS * QUERY: "tasks times query points",
             SHOTS + QUERY: "points of a task", TASKS * (SHOTS + QUERY): "points of all tasks"}  # fmt: skip
    for number, counted in means.items():
        if math.isclose(factor, number, rel_tol=1e-3):
            return f"It is {number} times too large, the number of {counted}: a sum stands where the mean should."
    return f"It is the expected answer times {factor:.4g}, in every case."


def _describe(case: dict) -> str:
    plain = [f"{n} = {v:.3g}" for n, v in case.items() if isinstance(v, float | int)]
    if "batch" in case:
        plain.append(f"{TASKS} tasks of {SHOTS} support and {QUERY} query points")
    return "with " + ", ".join(plain or [f"{n} {_kind(v)}" for n, v in case.items() if isinstance(v, Tensor)])


def _show(v: Tensor) -> str:
    entries = ", ".join(f"{x:.4g}" for x in v[:4].tolist())
    if len(v) <= 4:
        return f"[{entries}]" if len(v) > 1 else entries
    return f"[{entries}, …], norm {v.norm().item():.4g}"
