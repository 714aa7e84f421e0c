"""MAML, first-order MAML and joint pre-training: each maps (theta, batch) to a meta-gradient.

`adapt` is written for one task; `torch.func.vmap` makes it all tasks of a batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, vmap

from l2l.net import Params, mse
from l2l.tasks import Batch
from l2l.validation import rate, whole

Loss = Callable[[Params, Tensor, Tensor], Tensor]  # (params, x, y) -> scalar


class MetaGrad(NamedTuple):
    """A method's loss on a batch, and its meta-gradient: what the outer optimiser descends."""

    loss: Tensor
    grads: Params


def adapt(
    theta: Params, x: Tensor, y: Tensor, *, alpha: float, steps: int, first_order: bool = False, loss: Loss = mse
) -> Params:
    """The inner loop (lines 5 to 8 of the book's listing): `steps` gradient steps on one task's support set::

        θ^(0) = θ,    θ^(k) = θ^(k-1) - α ∇L(θ^(k-1); support)

    Differentiable in `theta`, through every step. With `first_order` the inner gradients count as
    constants, so that the Jacobian dφ/dθ is the identity.

    Args:
        theta: initialisation.
        x, y: support points of one task, [K, 1] each.
        alpha: inner learning rate, finite and ≥ 0.
        steps: number of inner steps, ≥ 0.
        first_order: leave the second-order term out.
        loss: function of (params, x, y) that gives a scalar.

    Returns:
        phi, the adapted parameters, in the shapes of `theta`.

    Raises:
        TypeError, ValueError: bad `alpha` or `steps`, or shapes or dtypes that do not match.

    Source: Finn et al. (2017), equation 1.
    """
    alpha, steps = rate("alpha", alpha), whole("steps", steps, 0)
    phi = theta
    for _ in range(steps):
        grads = grad(loss)(phi, x, y)
        if first_order:
            grads = {name: g.detach() for name, g in grads.items()}
        phi = {name: p - alpha * grads[name] for name, p in phi.items()}
    return phi


def maml(theta: Params, batch: Batch, *, alpha: float, steps: int, loss: Loss = mse) -> MetaGrad:
    """MAML: the gradient, with respect to θ, of the query loss after adaptation::

        g = ∇_θ mean_i L(θ_i^(K); query_i)
          = mean_i (I - αH_0)(I - αH_1)…(I - αH_{K-1}) ∇L(θ_i^(K); query_i)

    with K = `steps` and H_k the Hessian of task i's support loss at θ_i^(k); line 10 of the book's listing.
    Exact for any number of inner steps.

    Args:
        theta: initialisation.
        batch: T tasks.
        alpha, steps, loss: as for `adapt`.

    Returns:
        MetaGrad: mean query loss after adaptation (scalar), and its gradient in the shapes of `theta`.

    Raises:
        TypeError, ValueError: bad `alpha` or `steps`, or shapes or dtypes that do not match.

    Source: Finn et al. (2017), algorithm 2, with the mean over tasks in place of the sum.
    """
    return _query_gradient(theta, batch, alpha=alpha, steps=steps, loss=loss, first_order=False)


def fomaml(theta: Params, batch: Batch, *, alpha: float, steps: int, loss: Loss = mse) -> MetaGrad:
    """First-order MAML: `maml` with every Jacobian I - αH_k replaced by I::

        g = mean_i ∇L(θ_i^(K); query_i)

    Args, Returns, Raises: as for `maml`. The loss is the same; only the gradient differs.

    Source: Finn et al. (2017), section 5.2; named by Nichol et al. (2018).
    """
    return _query_gradient(theta, batch, alpha=alpha, steps=steps, loss=loss, first_order=True)


def _query_gradient(theta, batch, *, alpha, steps, loss, first_order) -> MetaGrad:
    check_batch(theta, batch)

    def after_adaptation(theta, x_support, y_support, x_query, y_query):
        phi = adapt(theta, x_support, y_support, alpha=alpha, steps=steps, first_order=first_order, loss=loss)
        return loss(phi, x_query, y_query)

    def meta_loss(theta):
        tasks = batch.x_support, batch.y_support, batch.x_query, batch.y_query
        return vmap(after_adaptation, in_dims=(None, 0, 0, 0, 0))(theta, *tasks).mean()

    grads, value = grad_and_value(meta_loss)(theta)
    return MetaGrad(value, grads)


def pretrain(theta: Params, batch: Batch, *, alpha: float, steps: int, loss: Loss = mse) -> MetaGrad:
    """Joint pre-training: one network for all tasks, on all of the batch's points::

        g = ∇_θ mean_i L(θ; support_i ∪ query_i)

    It never adapts: `alpha` and `steps` are checked and otherwise unused. It sees the points that
    `maml` sees, no more and no fewer.

    Args, Returns, Raises: as for `maml`; the loss is that of θ itself.

    Source: the baseline "pretrained on all tasks" of Finn et al. (2017), section 5.1.
    """
    rate("alpha", alpha), whole("steps", steps, 0)
    check_batch(theta, batch)
    x = torch.cat([batch.x_support, batch.x_query], dim=1)  # [T, K+Q, 1]
    y = torch.cat([batch.y_support, batch.y_query], dim=1)
    grads, value = grad_and_value(lambda theta: vmap(loss, in_dims=(None, 0, 0))(theta, x, y).mean())(theta)
    return MetaGrad(value, grads)


METHODS = {"maml": maml, "fomaml": fomaml, "pretrain": pretrain}


def initial_gradient_norm(theta: Params, batch: Batch, loss: Loss = mse) -> Tensor:
    """Length of the first adaptation gradient, ‖∇L(θ; support_i)‖₂, over all parameters together.

    Args:
        theta: initialisation, not adapted.
        batch: T tasks, of which the support points are used.
        loss: as for `adapt`.

    Returns:
        [T], in squared units of y for each unit of parameter. No graph is kept.

    Raises:
        TypeError, ValueError: shapes or dtypes that do not match.

    Source: the sensitivity of which Finn et al. (2017) speak in section 1; it equals ‖θ^(0) - θ^(1)‖/α.
    """
    check_batch(theta, batch)
    with torch.no_grad():
        grads = vmap(grad(loss), in_dims=(None, 0, 0))(theta, batch.x_support, batch.y_support)
        return torch.sqrt(sum((g**2).flatten(1).sum(1) for g in grads.values()))


def check_batch(theta: Params, batch: Batch) -> None:
    """Raise unless the batch's shapes agree with one another and its dtype with the parameters'."""
    for part in ("support", "query"):
        x, y = getattr(batch, f"x_{part}"), getattr(batch, f"y_{part}")
        if x.ndim != 3 or y.shape[:2] != x.shape[:2] or len(x) != len(batch.x_support) or x.numel() == 0:
            shapes = {field: tuple(getattr(batch, field).shape) for field in batch._fields[:4]}
            raise ValueError(f"batch must hold T ≥ 1 tasks of shape [T, points, 1], got {shapes}")
        for name, p in theta.items():
            if not x.dtype == y.dtype == p.dtype:
                raise TypeError(f"batch and parameters must have one dtype, got {x.dtype}, {y.dtype}, {name} {p.dtype}")
