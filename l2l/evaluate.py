"""Meta-test: adapt to unseen tasks, and record the error after every step on both sets."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from l2l.methods import Loss, check_batch
from l2l.net import Params, flatten, mse, unflatten
from l2l.tasks import Batch
from l2l.validation import one_of, rate, whole

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


class Curve(NamedTuple):
    """Mean squared error of each task after 0, 1, …, steps adaptation steps."""

    support: Tensor  # [steps+1, T]: on the points adapted to
    query: Tensor  # [steps+1, T]: on unseen points, the error that matters


def adaptation_curve(
    theta: Params, batch: Batch, *, alpha: float, steps: int, optimizer: str = "sgd", loss: Loss = mse
) -> Curve:
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
        loss: as for `adapt`.

    Returns:
        Curve of two [steps+1, T] tensors, in squared units of y; infinite where adaptation has diverged so far
        that the numbers overflow.

    Raises:
        TypeError, ValueError: a bad value or unknown optimiser, or shapes or dtypes that do not match.

    Source: Finn et al. (2017), figure 3 and table 2.
    """
    alpha, steps, optimizer = rate("alpha", alpha), whole("steps", steps, 0), one_of("optimizer", optimizer, OPTIMIZERS)
    check_batch(theta, batch)
    sizes = [*(p.shape[0] for p in theta.values() if p.ndim == 2), len(list(theta.values())[-1])]

    def error_of(phi: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return loss(unflatten(phi, sizes), x, y)

    gradient_and_error, error = vmap(grad_and_value(error_of)), vmap(error_of)
    support, query = [], []
    with torch.no_grad():
        phi = flatten(theta).repeat(len(batch.x_support), 1)  # [T, P]
        update = OPTIMIZERS[optimizer]([phi], lr=alpha, fused=True).step  # elementwise: one for each task
        for _ in range(steps):
            phi.grad, now = gradient_and_error(phi, batch.x_support, batch.y_support)
            support.append(now)
            query.append(error(phi, batch.x_query, batch.y_query))
            update()
        support.append(error(phi, batch.x_support, batch.y_support))
        query.append(error(phi, batch.x_query, batch.y_query))
    return Curve(*(torch.stack(errors).nan_to_num(nan=torch.inf, posinf=torch.inf) for errors in (support, query)))
