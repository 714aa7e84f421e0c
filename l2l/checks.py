"""Checks of arguments: each returns the value it was given, or says which property is violated."""

import math
from numbers import Integral, Real


def whole(name: str, value, least: int) -> int:
    """Return `value` as an int, or raise unless it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def rate(name: str, value) -> float:
    """Return `value` as a float, or raise unless it is a finite number ≥ 0."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number, not negative, got {value}")
    return float(value)


def interval(name: str, value) -> tuple[float, float]:
    """Return `value` as (low, high), or raise unless both are finite and low ≤ high."""
    try:
        low, high = (float(bound) for bound in value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a pair of numbers (low, high), got {value!r}") from None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{name} must have finite bounds, got {value}")
    if low > high:
        raise ValueError(f"{name} must satisfy low <= high, got {value}")
    return low, high


def one_of(name: str, value, options) -> str:
    """Return `value`, or raise unless it is one of the named options."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {value!r}")
    return value
