"""Adam as a pure function: the outer optimiser."""

from typing import NamedTuple

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class AdamState(NamedTuple):
    """Running means of the gradient and of its square, and the number of updates made."""

    m: Tensor
    v: Tensor
    t: Tensor


def adam_init(theta: Tensor) -> AdamState:
    """Return the state before the first update: zeros."""
    return AdamState(torch.zeros_like(theta), torch.zeros_like(theta), theta.new_zeros(()))


def adam(theta: Tensor, grad: Tensor, state: AdamState, rate: float) -> tuple[Tensor, AdamState]:
    """Make one Adam update::

        m ← β₁ m + (1-β₁) g        v ← β₂ v + (1-β₂) g²        t ← t + 1
        θ ← θ - rate · (m / (1-β₁ᵗ)) / (sqrt(v / (1-β₂ᵗ)) + ε)

    with β₁ = 0.9, β₂ = 0.999, ε = 1e-8.

    Args:
        theta: parameters as one vector [P], as `l2l.net.flatten` gives them; any shape will do, as all is elementwise.
        grad: gradient, in the shape of `theta`.
        state: from `adam_init` or the update before.
        rate: step size.

    Returns:
        The new parameters and the new state; the arguments are left as they were.

    Source: Kingma & Ba (2015), algorithm 1.
    """
    t = state.t + 1
    m = torch.lerp(state.m, grad, 1 - BETA1)  # from the old mean towards the new value
    v = torch.lerp(state.v, grad**2, 1 - BETA2)
    theta = theta - rate / (1 - BETA1**t) * m / ((v / (1 - BETA2**t)).sqrt() + EPSILON)
    return theta, AdamState(m, v, t)
