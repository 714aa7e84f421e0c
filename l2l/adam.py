"""Adam as a pure function: the outer optimiser, and one of the two that fine-tune at meta-test."""

from typing import NamedTuple

import torch
from torch import Tensor

from l2l.net import Params

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class AdamState(NamedTuple):
    """Running means of the gradient and of its square, and the number of updates made."""

    m: Params
    v: Params
    t: Tensor


def adam_init(theta: Params) -> AdamState:
    """Return the state before the first update: zeros."""
    m, v = ({name: torch.zeros_like(p) for name, p in theta.items()} for _ in range(2))
    return AdamState(m, v, t=next(iter(theta.values())).new_zeros(()))


def adam(theta: Params, grads: Params, state: AdamState, rate: float) -> tuple[Params, AdamState]:
    """Make one Adam update::

        m ← β₁ m + (1-β₁) g        v ← β₂ v + (1-β₂) g²        t ← t + 1
        θ ← θ - rate · (m / (1-β₁ᵗ)) / (sqrt(v / (1-β₂ᵗ)) + ε)

    with β₁ = 0.9, β₂ = 0.999, ε = 1e-8. Elementwise, so parameters may carry any leading axes.

    Args:
        theta: parameters.
        grads: gradient, in the shapes of `theta`.
        state: from `adam_init` or the update before.
        rate: step size.

    Returns:
        The new parameters and the new state; the arguments are left as they were.

    Source: Kingma & Ba (2015), algorithm 1.
    """
    t = state.t + 1
    m = {name: BETA1 * state.m[name] + (1 - BETA1) * g for name, g in grads.items()}
    v = {name: BETA2 * state.v[name] + (1 - BETA2) * g**2 for name, g in grads.items()}
    first, second = 1 - BETA1**t, 1 - BETA2**t
    theta = {k: p - rate * (m[k] / first) / ((v[k] / second).sqrt() + EPSILON) for k, p in theta.items()}
    return theta, AdamState(m, v, t)
