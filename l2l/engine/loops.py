"""The loop over outer updates, on the fastest engine that works here: native, compiled, recorded or called."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.fx import GraphModule

from l2l.engine import cache
from l2l.engine.graph import Function, record
from l2l.engine.native import NativeLoop, Unavailable, compile_step, reasons

State = tuple[Tensor, ...]
Loop = Callable[[State, State], tuple[State, Tensor]]  # (state, batches [n, ...]) -> (state, outputs [n])
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-14}
"""Relative rounding error of an update; an engine may differ by a hundred times its effect on the result."""


class Engine(NamedTuple):
    """What runs the loop."""

    name: str
    """"native": the whole loop in C++, without Python's lock. "compiled": each step by torch.compile. "recorded": each
    step replayed. "called": the functions themselves, by torch.func."""
    one: Callable[[], Loop]
    """Makes a loop for the use of one thread at a time."""
    parallel: bool
    """Whether threads gain from loops of their own."""


def repeated(step: Function, rates: State = ()) -> Loop:
    """Return the loop that feeds `step` its own results, the same rates and one batch after the other."""

    def loop(state: State, batches: State) -> tuple[State, Tensor]:
        outputs = []
        with torch.no_grad():
            for batch in zip(*batches, strict=True):
                *after, output = step(*state, *rates, *batch)
                state = tuple(after)
                outputs.append(output)
        return state, torch.stack(outputs)

    return loop


def recorded(forms: Sequence[Function], example: State) -> tuple[Function, Unavailable | None]:
    """Record the first form of a function that can be recorded; if none can, return the last form and the reason."""
    for form in forms:
        try:
            return record(form, *example), None
        except Unavailable as error:
            reason = error
    return forms[-1], reason


def check_pure(who: str, function: Function, example: State) -> State:
    """Call a function twice; return its result.

    Raises:
        ValueError: the function modifies its arguments, or its two results differ.
        Exception: the function's own, with a note that names it.
    """
    kept = tuple(x.clone() for x in example)
    with torch.no_grad(), named(who):
        results = function(*example), function(*example)
    if not _same(example, kept):
        raise ValueError(f"{who} must return new tensors, but modifies those that it is given")
    if not _same(*results):
        raise ValueError(f"{who} must be a function of its arguments, but is random")
    return results[0]


@contextmanager
def named(who: str) -> Iterator[None]:
    """Add to an error that a part raises which part it is."""
    try:
        yield
    except Exception as error:
        error.add_note(f"(raised when training checked {who})")
        raise


def _same(these: State, those: State) -> bool:
    return all(torch.allclose(x, y, rtol=0, atol=0, equal_nan=True) for x, y in zip(these, those, strict=True))


def compiled(step: GraphModule, state: State, rates: State, batch: State) -> Engine:
    """Compile a recorded step and return the fastest engine available; warn, with the reason, if it is a slower one.

    The compiled code first makes one update, and is used only if the recorded step agrees. On a GPU the step is
    compiled without its loop.

    Raises:
        RuntimeError: the fastest engine is not available, and L2L_STRICT is 1.
    """
    if state[0].device.type == "cpu":
        try:
            native = NativeLoop(step, state, rates, batch)
            try:
                with reasons("the compiled loop fails"):
                    verify(native.one(rates), step, state, rates, batch)
            except Unavailable:
                cache.discard(native.key)
                raise
            return Engine("native", lambda: native.one(rates), True)
        except Unavailable as reason:
            lost("training", "compiled", reason)
    try:
        loop = repeated(compiled_alone(step, state, rates, batch), rates)
        return Engine("compiled", lambda: loop, False)
    except Unavailable as reason:
        lost("training", "recorded", reason)
        return Engine("recorded", lambda: repeated(step, rates), False)


def compiled_alone(step: GraphModule, state: State, rates: State, batch: State) -> Function:
    """Compile a recorded step without its loop, and return it if it agrees with the recorded one.

    Raises:
        Unavailable: the step can't be compiled here, or doesn't agree.
    """
    function = compile_step(step, (*state, *rates, *batch))
    verify(repeated(function, rates), step, state, rates, batch)
    return function


def verify(loop: Loop, step: Function, state: State, rates: State, batch: State) -> None:
    """Compare a loop's first update with that of the recorded step.

    Raises:
        Unavailable: they differ by more than the effect of rounding, which is measured by perturbing the state.
    """
    moved = tuple(x * (1 + ROUNDING[x.dtype]) if x.is_floating_point() else x for x in state)
    batches = tuple(x[None].contiguous() for x in batch)
    plain = repeated(step, rates)
    results = plain(state, batches), plain(moved, batches), loop(state, batches)
    right, near, ours = ([*state, output] for state, output in results)
    for x, y, z in zip(ours, right, near, strict=True):
        off, rounding, size = (torch.linalg.vector_norm(v.double()).item() for v in (x - y, z - y, y))
        most = 100 * (rounding + ROUNDING[y.dtype] * size)
        if y.isfinite().all() and not off <= most:
            raise Unavailable(f"it differs from the recorded step by {off:.1e}, where rounding explains {most:.1e}")


def lost(what: str, engine: str, reason: Exception) -> None:
    """Warn that training, or measuring, falls back to this engine, and why.

    Raises:
        RuntimeError: L2L_STRICT is 1; this error replaces the warning.
    """
    message = f"{what} runs on the {engine} engine and is several times slower, as none faster is available: {reason}"
    if os.environ.get("L2L_STRICT") == "1":
        raise RuntimeError(message) from reason
    warnings.warn(message, RuntimeWarning, stacklevel=2)
