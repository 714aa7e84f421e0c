"""Meta-test: adapt to unseen tasks, and record the error after every step on both sets."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad, vmap

from l2l.adam import adam, adam_init
from l2l.checks import one_of, rate, whole
from l2l.methods import adapt, check_batch
from l2l.net import Params, mse
from l2l.tasks import Batch

OPTIMIZERS = ("sgd", "adam")


class Curve(NamedTuple):
    """Mean squared error of each task after 0, 1, …, steps adaptation steps."""

    support: Tensor  # [steps+1, T]: on the points adapted to
    query: Tensor  # [steps+1, T]: on unseen points, the error that matters


def adaptation_curve(theta: Params, batch: Batch, *, alpha: float, steps: int, optimizer: str = "sgd") -> Curve:
    """Adapt to each task's support points, and measure the error after each step::

        support[k, i] = L(θ_i^(k); support_i)
        query[k, i]   = L(θ_i^(k); query_i)          k = 0 … steps

    Each task starts at θ with an optimiser of its own. No autograd graph is kept.

    Args:
        theta: initialisation.
        batch: T tasks.
        alpha: learning rate of the adaptation, finite and ≥ 0.
        steps: number of adaptation steps, ≥ 0.
        optimizer: "sgd" (the inner loop of `adapt`) or "adam".

    Returns:
        Curve of two [steps+1, T] tensors, in squared units of y; infinite where adaptation has diverged so far
        that the numbers overflow.

    Raises:
        TypeError, ValueError: a bad value or unknown optimiser, or shapes or dtypes that do not match.

    Source: Finn et al. (2017), figure 3 and table 2.
    """
    alpha, steps, optimizer = rate("alpha", alpha), whole("steps", steps, 0), one_of("optimizer", optimizer, OPTIMIZERS)
    check_batch(theta, batch)
    x, y = batch.x_support, batch.y_support
    error = vmap(mse)
    with torch.no_grad():
        phi = {name: p.expand(len(x), *p.shape) for name, p in theta.items()}  # [T, ...]
        state = adam_init(phi)
        support, query = [], []
        for step in range(steps + 1):
            support.append(error(phi, x, y))
            query.append(error(phi, batch.x_query, batch.y_query))
            if step == steps:
                break
            if optimizer == "adam":
                phi, state = adam(phi, vmap(grad(mse))(phi, x, y), state, alpha)
            else:
                phi = vmap(lambda phi, x, y: adapt(phi, x, y, alpha=alpha, steps=1))(phi, x, y)
    return Curve(*(torch.stack(errors).nan_to_num(nan=torch.inf, posinf=torch.inf) for errors in (support, query)))
