"""Checks of arguments: each returns the checked value, or raises an error that says which property is violated."""

import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real

import numpy as np
from torch import Tensor


def whole(name: str, value: object, least: int) -> int:
    """Return `value` as an int; raise unless it is a whole number ≥ `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def rate(name: str, value: object) -> float:
    """Return `value` as a float; raise unless it is a finite number ≥ 0."""
    value = _number(name, value)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number, not negative, got {value}")
    return value


def schedule(name: str, value: object, steps: int) -> list[float | Tensor]:
    """Return one rate for each of `steps` steps; the last rate of a sequence holds for all further steps.

    A number, or each number of a sequence, must be finite and ≥ 0. Of a tensor only the shape and the dtype are
    checked, because its values may be traced.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Tensor):
        if value.ndim > 1 or not value.numel() or not value.is_floating_point():
            raise ValueError(
                f"{name} must be a floating-point tensor with one rate or one axis of rates, got {value.dtype} of "
                f"shape {tuple(value.shape)}"
            )
        rates = list(value) if value.ndim else [value]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        rates = [rate(f"each of {name}", each) for each in value]
        if not rates:
            raise ValueError(f"{name} must hold at least one rate, got {value!r}")
    else:
        rates = [rate(name, value)]
    return [rates[min(k, len(rates) - 1)] for k in range(steps)]


def interval(name: str, value: object) -> tuple[float, float]:
    """Return `value` as (low, high); raise unless both are finite and low ≤ high."""
    if not isinstance(value, Sequence) or len(value) != 2:
        raise TypeError(f"{name} must be a pair of numbers (low, high), got {value!r}")
    low, high = (_number(f"each bound of {name}", bound) for bound in value)
    if not math.isfinite(high - low):
        raise ValueError(f"{name} must have finite bounds, got {value}")
    if low > high:
        raise ValueError(f"{name} must satisfy low <= high, got {value}")
    return low, high


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def one_of(name: str, value: str, options: Collection[str]) -> str:
    """Return `value`; raise unless it is one of the named options."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {value!r}")
    return value
