"""Checks of arguments: each returns the value it was given, or says which property is violated."""

import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real

import numpy as np
from torch import Tensor


def whole(name: str, value: object, least: int) -> int:
    """Return `value` as an int, or raise unless it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def rate(name: str, value: object) -> float:
    """Return `value` as a float, or raise unless it is a finite number ≥ 0."""
    value = _number(name, value)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number, not negative, got {value}")
    return value


def schedule(name: str, value: object, steps: int) -> list[float | Tensor]:
    """Return the rate of each of `steps` steps; the last of a sequence holds for all further ones.

    A number or a sequence of numbers must be finite and ≥ 0; of a tensor, whose values may be traced, the shape is
    checked alone.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Tensor):
        if value.ndim > 1 or not value.numel() or not value.is_floating_point():
            raise ValueError(f"{name} must be one rate or a sequence of rates, got shape {tuple(value.shape)}")
        rates = list(value) if value.ndim else [value]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        rates = [rate(f"each of {name}", each) for each in value]
        if not rates:
            raise ValueError(f"{name} must hold at least one rate, got {value!r}")
    else:
        rates = [rate(name, value)]
    return [rates[min(k, len(rates) - 1)] for k in range(steps)]


def interval(name: str, value: object) -> tuple[float, float]:
    """Return `value` as (low, high), or raise unless both are finite and low ≤ high."""
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
    """Return `value`, or raise unless it is one of the named options."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {value!r}")
    return value
