"""The outer optimiser, Adam, as a pure function; and `Optimizer`, the interface of any other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
State = tuple[Tensor, ...]


class AdamState(NamedTuple):
    """Running means of the gradient and of its square, and the number of updates made."""

    m: Tensor
    v: Tensor
    t: Tensor


def adam_init(theta: Tensor) -> AdamState:
    """Return the state before the first update: zeros."""
    return AdamState(torch.zeros_like(theta), torch.zeros_like(theta), theta.new_zeros(()))


def adam(theta: Tensor, grad: Tensor, state: State, rate: float | Tensor) -> tuple[Tensor, AdamState]:
    """Make one Adam update::

        m ← β₁ m + (1-β₁) g        v ← β₂ v + (1-β₂) g²        t ← t + 1
        θ ← θ - rate · (m / (1-β₁ᵗ)) / (sqrt(v / (1-β₂ᵗ)) + ε)

    with β₁ = 0.9, β₂ = 0.999, ε = 1e-8.

    Args:
        theta: parameters as one vector [P], as `l2l.net.flatten` gives them; any shape works, because the update is
            elementwise.
        grad: gradient, in the shape of `theta`.
        state: (m, v, t), from `adam_init` or the previous update.
        rate: step size, a number or a zero-dimensional tensor.

    Returns:
        The new parameters and the new state; the arguments are not modified.

    Source: Kingma & Ba (2015), algorithm 1.
    """
    m, v, t = state
    t = t + 1
    m = torch.lerp(m, grad, 1 - BETA1)  # from the old mean towards the new value
    v = torch.lerp(v, grad**2, 1 - BETA2)
    theta = theta - rate / (1 - BETA1**t) * m / ((v / (1 - BETA2**t)).sqrt() + EPSILON)
    return theta, AdamState(m, v, t)


@dataclass(frozen=True)
class Optimizer:
    """An outer optimiser, as a pair of pure functions; `TrainConfig(optimizer=…)` uses it.

    Source: the form of optax's gradient transformations.
    """

    name: str
    """Its name in a run file."""
    init: Callable[[Tensor], State]
    """theta [P] -> state before the first update, a tuple of tensors, which may be empty."""
    update: Callable[[Tensor, Tensor, State, float | Tensor], tuple[Tensor, State]]
    """(theta [P], grad [P], state, rate) -> (new theta, new state); it must not modify its arguments."""


OPTIMIZERS = {"adam": Optimizer("adam", adam_init, adam)}
