"""Intervals for means."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

Means = np.ndarray | np.float64  # numpy gives a single one as a number


def confidence_interval(values: ArrayLike, level: float = 0.95) -> tuple[Means, Means]:
    """Mean over the last axis, and half the width of its confidence interval::

        mean ± t_{(1+level)/2, N-1} · s / sqrt(N)

    with s the sample standard deviation (divisor N-1) and t Student's quantile. Exact for normal values.
    With heavy tails (a few diverging tasks) report the median as well.

    Args:
        values: [..., N] independent values, an array or a tensor on the CPU.
        level: probability that the interval covers the true mean, between 0 and 1.

    Returns:
        (mean [...], half_width [...]) in the units of `values`. Infinite values give an infinite or undefined mean.

    Raises:
        ValueError: fewer than two values, or a level not strictly between 0 and 1.

    Source: Student (1908).
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] < 2:
        raise ValueError(f"values must have at least two entries along the last axis, got shape {values.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    n = values.shape[-1]
    with np.errstate(invalid="ignore", over="ignore"):
        mean = values.mean(axis=-1)
        half_width = stdtrit(n - 1, (1 + level) / 2) * values.std(axis=-1, ddof=1) / np.sqrt(n)
    return mean, half_width
