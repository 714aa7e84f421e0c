"""Run a learner's function on random cases, compare it with an oracle, and say what is wrong with it."""

import ctypes
import math
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

CASES = 5
SECONDS = 10.0  # that one call may take
TASKS, SHOTS, QUERY = 3, 5, 7  # all different, so that a factor tells which mean is missing
TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3}  # relative; wide enough for finite differences

Answer = Callable[..., object]
Mistakes = Mapping[str, Answer]  # what to tell the learner → the function that makes the mistake


class Failed(AssertionError):
    """A learner's function is not right yet; the message says how. Notebooks show the message alone."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


def examine(
    name: str,
    function: Answer,
    case: Callable[[int, torch.Generator], dict],
    oracle: Answer,
    mistakes: Mistakes,
    seed: int | None,
    of: Callable[[list[Tensor], dict], Tensor] | None = None,
) -> None:
    """Compare a learner's function with the oracle on random cases, and its answers with those of known mistakes.

    With `of`, what is compared is not the answer but what `of` makes of its tensors and the arguments; `oracle` and
    `mistakes` give the answers themselves all the same.
    """
    seed, generator = seeded(seed)
    cases = [case(i, generator) for i in range(CASES)]
    rights = [oracle(**copies(c)) for c in cases]

    def compared(answer: Callable[[dict], object]) -> list[Tensor]:
        found = []
        for c, right in zip(cases, rights, strict=True):
            given = copies(c)
            output = answer(given)
            _unchanged(name, c, given)
            tensors = _formed(name, output, right)
            found.append(_flat(of(tensors, given) if of else tensors))
        return found

    expected = compared(lambda given: oracle(**given))
    answers = compared(lambda given: call(name, function, given))
    for c, answer, right in zip(cases, answers, expected, strict=True):
        if not answer.isfinite().all() and right.isfinite().all():
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
    factors = {}
    for advice, mistaken in mistakes.items():
        with suppress(Failed):  # its answer has another form
            factors[advice] = _factor(answers, compared(lambda given, mistaken=mistaken: mistaken(**given)))
        if factors.get(advice) == 1:
            break
    raise Failed("\n".join([*lines, f"  {_diagnosis(answers, expected, factors, cases, off)}"]))


def _diagnosis(
    answers: list[Tensor], expected: list[Tensor], factors: dict[str, float | None], cases: list[dict], off: list[float]
) -> str:
    """Say which known mistake gives these answers, or `factors` of them; or what else can be said."""
    named = next((advice for advice, factor in factors.items() if factor == 1), None)
    if named:
        return named
    if not any(answer.any() for answer in answers):
        return "It is zero in every case."
    if factor := _factor(answers, expected):
        return f"It is the expected answer {_times(factor, cases[0])}."
    for advice, factor in factors.items():
        if factor:
            return f"{advice} And all of it {_times(factor, cases[0])}."
    if max(off) < 0.05:
        kink = " If these are finite differences, a kink of relu may lie within the step h: try a smaller one."
        return "It is close, but off by more than rounding." + (kink if "theta" in cases[0] else "")
    wrong = [deviation > _tolerance(answer) for deviation, answer in zip(off, answers, strict=True)]
    if not all(wrong) and wrong == [case.get("steps") != 1 for case in cases]:
        return "It is right where steps is 1, and wrong from the second step on."
    smallest = f" Try the smallest case by hand{': one task, one step' if 'batch' in cases[0] else ''}."
    return "It is none of the mistakes that this check knows." + smallest


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
                         f"{_place(frames)}")  # fmt: skip
    finally:
        for _ in range(40):
            if thread.is_alive():
                # SystemExit, as a thread that meets it a second time, outside its try, ends without a word
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
                thread.join(0.05)
    answer, error = outcome[0]
    if error is None:
        return answer
    frames = traceback.extract_tb(error.__traceback__)[1:]
    if not frames and isinstance(error, TypeError):
        raise Failed(f"{name}: your function is called as f({', '.join(given)}), and said: {error}.") from None
    raise Failed(f"{name}: your function raised {type(error).__name__}: {error}{_place(frames)}"
                 f"{_known_error(error, given)}") from None  # fmt: skip


LIBRARIES = (
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    *(str(Path(module.__file__).parent) for module in (torch, sys.modules[__package__])),
)


def _place(frames: list[traceback.FrameSummary]) -> str:
    """Say where in the learner's own code something happened."""
    own = [frame for frame in frames if not frame.filename.startswith(LIBRARIES)]
    return f"\n  in line {own[-1].lineno} of your code: {own[-1].line}" if own else ""


def _known_error(error: BaseException, given: dict) -> str:
    message = str(error)
    if "does not require grad" in message or "not have been used in the graph" in message:
        return (
            "\n  No path of derivatives leads from there back to the parameters. It looks like a detached inner step: "
            "is there a .detach(), a .data, a no_grad(), or an inner gradient without create_graph=True?"
        )
    if "backward through the graph a second time" in message:
        return (
            "\n  A graph is gone after its first use. One that is used again needs retain_graph=True, or "
            "create_graph=True where the derivative itself is to be differentiated."
        )
    return f"\n  It was called as f({', '.join(given)})." if isinstance(error, TypeError) else ""


def copies(case: dict) -> dict:
    def copy(value):
        return value.detach().clone().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value

    return tree_map(copy, case)


def _unchanged(name: str, case: dict, given: dict) -> None:
    def same(a: object, b: object) -> bool:
        if not isinstance(a, Tensor):
            return True
        return isinstance(b, Tensor) and b.shape == a.shape and b.dtype == a.dtype and torch.allclose(a, b)

    for argument, value in case.items():
        before, after = tree_leaves(value), tree_leaves(given[argument])
        if len(before) != len(after) or not all(map(same, before, after)):
            raise Failed(
                f"{name}: your function changes {argument}, which its caller goes on using. Operations such as -= and "
                "assignments into a dict change what they are given: make new tensors, p - q for p -= q."
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
    flat = isinstance(answer, list | tuple) and len(answer) == _flat(like).numel() != len(like)  # a list of numbers
    if flat or not isinstance(answer, list | tuple):
        return [_tensor(f"{name}: the answer", answer, [_flat(like).numel()], _wanted(like))]
    if len(answer) != len(like):
        raise Failed(f"{name}: the answer must hold {len(like)} {'tensors' if isinstance(like, dict) else 'numbers'}, "
                     f"got {len(answer)}.")  # fmt: skip
    parts = like if isinstance(like, dict) else dict(enumerate(like, 1))
    labels = [f"{name}: {key}" if isinstance(like, dict) else f"{name}: value {key}" for key in parts]
    return [_tensor(label, a, list(torch.as_tensor(part).shape), _wanted(part))
            for label, a, part in zip(labels, answer, parts.values(), strict=True)]  # fmt: skip


def _tensor(label: str, value: object, shape: list[int], wanted: str) -> Tensor:
    """Return the value as a tensor of this shape, that of a number for one of [1] too; a graph that it has stays."""
    try:
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(tree_map(_plain, value))
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is not None and not shape and tensor.numel() == 1:
        tensor = tensor.reshape(())
    if tensor is None or tensor.is_complex() or list(tensor.shape) != shape:
        hint = ""
        if value is None:
            whole = label.endswith("answer")
            hint = " Is there a return at its end?" if whole else " Did a .detach() or .data keep its gradient from it?"
        raise Failed(f"{label} must be {wanted}, got {_kind(value)}.{hint}")
    return tensor if hasattr(value, "dtype") and tensor.is_floating_point() else tensor.double()


def _plain(value: object) -> object:
    return value.detach() if isinstance(value, Tensor) else value


def _wanted(like: object) -> str:
    if isinstance(like, dict):
        return "a dict of tensors in the shapes of theta, a sequence in its order or one flat vector"
    if isinstance(like, tuple):
        return f"{len(like)} values"
    shape = list(torch.as_tensor(like).shape)
    return f"a tensor of shape {shape}" if shape else "a single number"


def _kind(value: object) -> str:
    if value is None:
        return "None"
    shape = f" of shape {list(value.shape)}" if hasattr(value, "shape") else ""
    shape = f" of {len(value)}" if isinstance(value, list | tuple) else shape
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


def _factor(answers: list[Tensor], others: list[Tensor]) -> float | None:
    """The number c with answers = c · others in every case; exactly 1 within the tolerance; None without one."""
    if any(a.shape != o.shape for a, o in zip(answers, others, strict=True)):
        return None
    if all(_deviation(a, o) <= _tolerance(a) for a, o in zip(answers, others, strict=True)):
        return 1
    a, o = (torch.cat(x).double() for x in (answers, others))
    c = ((a @ o) / (o @ o)).item()
    scaled = all(_deviation(a, c * o.double()) <= _tolerance(a) for a, o in zip(answers, others, strict=True))
    return c if scaled and abs(c - 1) > 1e-2 else None


def _times(factor: float, case: dict) -> str:
    """Say what a factor looks like: a sign, a sum where a mean should be, a wrong count."""
    said = {-1: "with the wrong sign"}
    if "theta" in case:
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
            said[TASKS / fields] = f"times {TASKS / fields}: is it divided by len(batch)? That is {fields}, the number "
            said[TASKS / fields] += "of a batch's fields; the number of its tasks is len(batch.x_support)"
            said[1 / TASKS] = f"times 1/{TASKS}: it is divided by the number of tasks once too often"
        for count, counted in counts.items():
            said[count] = f"times {count}, the number of {counted}: a sum stands where the mean should"
    close = (words for number, words in said.items() if math.isclose(factor, number, rel_tol=1e-3))
    return next(close, f"times {factor:.4g}, in every case")


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
