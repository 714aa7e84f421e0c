"""Answers: the form that they must have, their numbers, and how far they may be off."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3}  # relative; wide enough for finite differences

Answer = Callable[..., object]
"""A function that answers an exercise: a learner's, the oracle, or one that makes a mistake."""


class Failed(AssertionError):
    """A learner's function is not right yet; the message says what is wrong. Notebooks show the message alone."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class NotWritten(Failed):
    """A learner's function raises NotImplementedError: it is still to be written."""


def numbers(answer: object) -> Tensor:
    """All numbers of an answer, one after another."""
    return torch.cat([torch.as_tensor(leaf).detach().flatten() for leaf in tree_leaves(answer)])


def formed(name: str, answer: object, like: object) -> list[Tensor]:
    """Return an answer's tensors in the order of those of `like`.

    Raises:
        Failed: the answer does not have that form.
    """
    if not isinstance(like, dict | tuple):
        return [_tensor(f"{name}: the answer", answer, like)]
    if isinstance(like, dict) and isinstance(answer, Mapping):
        if set(answer) != set(like):
            raise Failed(f"{name}: the answer must have the keys {', '.join(like)}, got {', '.join(map(str, answer))}.")
        answer = [answer[key] for key in like]
    size = numbers(like).numel()
    if not isinstance(answer, list | tuple) or len(answer) == size != len(like):  # a vector, or a list of its numbers
        return [_tensor(f"{name}: the answer", answer, like, [size])]
    if len(answer) != len(like):
        what = "tensors" if isinstance(like, dict) else "numbers"
        raise Failed(f"{name}: the answer must hold {len(like)} {what}, got {len(answer)}.")
    if isinstance(like, dict):
        labels, parts = [f"{name}: {key}" for key in like], list(like.values())
    else:
        labels, parts = [f"{name}: value {i}" for i in range(1, len(like) + 1)], list(like)
    return [_tensor(label, value, part) for label, value, part in zip(labels, answer, parts, strict=True)]


def _tensor(label: str, value: object, like: object, shape: list[int] | None = None) -> Tensor:
    """Return the value as a tensor of this shape (by default that of `like`), with its graph if it has one."""
    shape = list(torch.as_tensor(like).shape) if shape is None else shape
    try:
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(tree_map(_detached, value))
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is not None and not shape and tensor.numel() == 1:
        tensor = tensor.reshape(())  # [1], where a number is asked
    if tensor is None or tensor.is_complex() or list(tensor.shape) != shape:
        hint = ""
        if value is None:
            whole = label.endswith("answer")
            hint = " Did a .detach() or .data cut this tensor off from the loss?"
            hint = " Is there a return at the end of your function?" if whole else hint
        elif tensor is not None and len(shape) == 2 and list(tensor.shape) == shape[::-1]:
            hint = " Is it transposed? Here W is [in, out], whereas torch.nn.Linear stores [out, in]."
        raise Failed(f"{label} must be {_wanted(like)}, got {kind(value)}.{hint}")
    return tensor if hasattr(value, "dtype") and tensor.is_floating_point() else tensor.double()


def _detached(value: object) -> object:
    return value.detach() if isinstance(value, Tensor) else value


def _wanted(like: object) -> str:
    if isinstance(like, dict):
        return "a dict of tensors in the shapes of theta, a sequence in its order or one flat vector"
    if isinstance(like, tuple):
        return f"{len(like)} values"
    shape = list(torch.as_tensor(like).shape)
    return f"a tensor of shape {shape}" if shape else "a single number"


def kind(value: object) -> str:
    """What a value is, in words: "a Tensor of shape [3]"."""
    if value is None:
        return "None"
    shape = f" of shape {list(value.shape)}" if hasattr(value, "shape") else ""
    shape = f" of {len(value)}" if isinstance(value, list | tuple) else shape
    article = "an" if type(value).__name__[0] in "aeiouAEIOU" else "a"
    return f"{article} {type(value).__name__}{shape}"


def deviation(answer: Tensor, expected: Tensor) -> float:
    """‖answer - expected‖₂ / ‖expected‖₂."""
    answer, expected = answer.double(), expected.double()
    if torch.equal(answer, expected):
        return 0.0
    off = torch.linalg.vector_norm(answer - expected) / torch.linalg.vector_norm(expected)
    return off.nan_to_num(math.inf, math.inf).item()


def tolerance(answer: Tensor) -> float:
    return TOLERANCE.get(answer.dtype, TOLERANCE[torch.float32])


def equals(answer: Tensor, expected: Tensor) -> bool:
    return deviation(answer, expected) <= tolerance(answer)
