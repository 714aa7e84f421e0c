"""The Bayes-optimal predictor on sinusoids: the posterior mean over tasks, to quadrature accuracy."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.special import log_ndtr

from l2l._validation import rate
from l2l.tasks import SineTasks

NODES, ZOOMS, NEGLIGIBLE = 256, 6, 60.0
"""Nodes of the quadrature over the phase; how many times its interval is narrowed; and how far below the maximum of the
log density a phase is negligible."""


class Posterior(NamedTuple):
    """Posterior of (p, q) = (A cos b, A sin b), where y = p sin x + q cos x, given each task's support points."""

    mean: Tensor  # [..., 2], of (p, q)
    covariance: Tensor  # [..., 2, 2]


def posterior(x: Tensor, y: Tensor, *, noise: float, family: SineTasks = SineTasks()) -> Posterior:  # noqa: B008 (frozen)
    """Mean and covariance of (p, q) given support points with normal noise, under the family's own prior::

        p(A, b | x, y) ∝ exp(-Σ_j (y_j - A s_j)² / 2σ²)   on the family's ranges,   s_j = sin(x_j + b)

    For a given phase this is a normal density in A, truncated to the range of A, with mean Σ s_j y_j / Σ s_j² and
    variance σ² / Σ s_j²: its integrals over A are known in closed form. The integral over b is computed by
    Gauss-Legendre quadrature, on the part of the range where the posterior isn't negligible.

    Args:
        x, y: support points, [..., n, 1].
        noise: σ, the standard deviation of the noise, > 0. As σ → 0 the mean tends to the least-squares solution for
            (p, q), if there are at least two points and the solution lies in the family.
        family: the task family whose ranges of amplitude and phase are the prior; both must have positive width.

    Returns:
        Posterior, in double precision.

    Raises:
        TypeError, ValueError: noise that is not positive, shapes that differ, or a range without width.

    Source: Bayes' theorem; the posterior mean minimises the expected squared error.
    """
    noise = rate("noise", noise)
    if not noise:
        raise ValueError("noise must be greater than 0, got 0; without noise, use least squares for (p, q)")
    if x.shape != y.shape or x.ndim < 2 or x.shape[-1] != 1 or not x.shape[-2]:
        raise ValueError(f"x and y must both have shape [..., n, 1] with n ≥ 1, got {[*x.shape]} and {[*y.shape]}")
    if family.amplitude[0] == family.amplitude[1] or family.phase[0] == family.phase[1]:
        raise ValueError(f"amplitude and phase must have ranges of positive width, got {family}")
    x, y = x[..., 0].double(), y[..., 0].double()
    node, weight = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(NODES))
    ends = torch.tensor(family.phase, dtype=torch.float64).expand(*x.shape[:-1], 2)  # interval searched, [..., 2]
    for _ in range(ZOOMS):
        b = _between(ends, node)
        likely = _given_phase(b, x, y, noise, family.amplitude)[0]
        counts = likely > likely.amax(-1, keepdim=True) - NEGLIGIBLE  # [..., NODES]
        first = counts.int().argmax(-1, keepdim=True)
        last = NODES - 1 - counts.flip(-1).int().argmax(-1, keepdim=True)
        wider = torch.cat([ends[..., :1], b, ends[..., 1:]], -1)
        ends = torch.cat([wider.gather(-1, first), wider.gather(-1, last + 2)], -1)
    b = _between(ends, node)
    log_density, mean, square = _given_phase(b, x, y, noise, family.amplitude)
    mass = weight * torch.exp(log_density - log_density.amax(-1, keepdim=True))
    mass = mass / mass.sum(-1, keepdim=True)
    direction = torch.stack([torch.cos(b), torch.sin(b)], -1)  # (p, q) / A, [..., NODES, 2]
    first_moment = ((mass * mean)[..., None] * direction).sum(-2)
    second = torch.einsum("...n,...ni,...nj->...ij", mass * square, direction, direction)
    return Posterior(first_moment, second - first_moment[..., :, None] * first_moment[..., None, :])


def predicted(found: Posterior, x: Tensor) -> Tensor:
    """The posterior mean of the function at other inputs, E[p] sin x + E[q] cos x.

    Args:
        found: posterior of T tasks, or of one task.
        x: inputs, [..., Q, 1].

    Returns:
        The means, [..., Q, 1], in double precision.
    """
    x = x.double()
    return torch.cat([torch.sin(x), torch.cos(x)], -1) @ found.mean[..., None]


def _between(ends: Tensor, node: Tensor) -> Tensor:
    low, high = ends[..., :1], ends[..., 1:]
    return low + (high - low) * (node + 1) / 2


def _given_phase(
    b: Tensor, x: Tensor, y: Tensor, noise: float, amplitude: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Log density of each phase b [..., NODES], up to a constant, and the mean of A and of A² given b."""
    s = torch.sin(x[..., None, :] + b[..., :, None])  # [..., NODES, n]
    squares, product = (s**2).sum(-1).clamp(min=1e-12), (s * y[..., None, :]).sum(-1)
    centre, spread = product / squares, noise / squares.sqrt()  # of the normal density in A
    low, high = ((end - centre) / spread for end in amplitude)
    # log(Φ(high) - Φ(low)), computed in the tail where the difference does not cancel
    far = low + high > 0
    lower, upper = torch.where(far, -high, low), torch.where(far, -low, high)
    log_mass = log_ndtr(upper) + torch.log1p(-torch.exp(log_ndtr(lower) - log_ndtr(upper)))
    at_low, at_high = (torch.exp(-(end**2) / 2 - log_mass) / math.sqrt(2 * math.pi) for end in (low, high))
    mean = centre + spread * (at_low - at_high)
    square = spread**2 * (1 + low * at_low - high * at_high) + 2 * centre * mean - centre**2
    return torch.log(spread) + log_mass + (centre / spread) ** 2 / 2, mean, square
