"""MAML, first-order MAML and joint pre-training: each maps (theta, batch) to a meta-gradient.

`inner_loop` and `adapt` are written for one task; `torch.func.vmap` applies them to all tasks of a batch. `Method` is
the interface of any other method.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, grad_and_value, vjp, vmap

from l2l._validation import schedule, whole
from l2l.net import Params, mse
from l2l.tasks import Batch, SineBatch, tensors_of

Loss = Callable[[Params, Tensor, Tensor], Tensor]  # (params, x, y) -> scalar
InnerLoop = Callable[..., Iterator[Params]]  # (theta, x, y, *, alpha, steps, loss) -> θ^(0), …, θ^(K)
Rate = float | Sequence[float] | np.ndarray | Tensor  # one for all inner steps, or one for each


class MetaGrad(NamedTuple):
    """A method's loss on a batch, and its meta-gradient: what the outer optimiser descends."""

    loss: Tensor
    grads: Params


def inner_loop(
    theta: Params, x: Tensor, y: Tensor, *, alpha: Rate, steps: int, loss: Loss = mse, first_order: bool = False
) -> Iterator[Params]:
    """The inner loop (lines 5 to 8 of the book's listing): gradient steps on one task's support set::

        θ^(0) = θ,    θ^(k) = θ^(k-1) - α ∇L(θ^(k-1); support)

    Differentiable in `theta`, through every step. With `first_order` the inner gradients count as
    constants, so that the Jacobian dφ/dθ is the identity.

    Args:
        theta: initialisation.
        x, y: support points of one task, [n, …] each.
        alpha: inner learning rate, finite and ≥ 0. A sequence or a tensor [rates] gives one for each step, the last of
            which holds for further steps; the iterates are differentiable with respect to a tensor.
        steps: number of inner steps, ≥ 0.
        loss: function of (params, x, y) that returns a scalar.
        first_order: leave the second-order term out.

    Yields:
        θ^(0), θ^(1), …, θ^(steps), in the shapes of `theta`.

    Raises:
        TypeError, ValueError: bad `alpha` or `steps`, or shapes or dtypes that do not match.
        RuntimeError: within `torch.inference_mode()`, where there are no gradients.

    Source: Finn et al. (2017), equation 1.
    """
    rates = schedule("alpha", alpha, whole("steps", steps, 0))
    _need_gradients()
    phi = theta
    yield phi
    for rate in rates:
        grads = grad(loss)(phi, x, y)
        if first_order:
            grads = {name: g.detach() for name, g in grads.items()}
        phi = {name: p - rate * grads[name] for name, p in phi.items()}
        yield phi


def adapt(
    theta: Params,
    x: Tensor,
    y: Tensor,
    *,
    alpha: Rate,
    steps: int,
    loss: Loss = mse,
    inner_loop: InnerLoop = inner_loop,
) -> Params:
    """Adapt to one task: φ = θ^(steps), the end of the inner loop.

    Args:
        theta, x, y, alpha, steps, loss: as for `inner_loop`.
        inner_loop: the inner loop to use; by default the book's own.

    Returns:
        phi, the adapted parameters.

    Raises:
        TypeError, ValueError, RuntimeError: as `inner_loop` does.
    """
    for iterate in inner_loop(theta, x, y, alpha=alpha, steps=steps, loss=loss):
        phi = iterate
    return phi


def maml(
    theta: Params,
    batch: Batch | SineBatch,
    *,
    alpha: Rate,
    steps: int,
    loss: Loss = mse,
    inner_loop: InnerLoop = inner_loop,
) -> MetaGrad:
    """MAML: the gradient, with respect to θ, of the query loss after adaptation::

        g = ∇_θ mean_i L(θ_i^(K); query_i)
          = mean_i (I - αH_0)(I - αH_1)…(I - αH_{K-1}) ∇L(θ_i^(K); query_i)

    with K = `steps` and H_k the Hessian of task i's support loss at θ_i^(k); line 10 of the book's listing.
    Exact for any number of inner steps and for any inner loop (the product above holds for the book's own).

    Args:
        theta: initialisation.
        batch: T tasks.
        alpha, steps, loss, inner_loop: as for `adapt`.

    Returns:
        MetaGrad: mean query loss after adaptation (scalar), and its gradient in the shapes of `theta`.

    Raises:
        TypeError, ValueError: bad `alpha` or `steps`, or shapes or dtypes that do not match.
        RuntimeError: within `torch.inference_mode()`, where there are no gradients.

    Source: Finn et al. (2017), algorithm 2, with the mean over tasks in place of the sum.
    """
    check_batch(theta, batch)

    def after_adaptation(theta, x_support, y_support, x_query, y_query):
        phi = adapt(theta, x_support, y_support, alpha=alpha, steps=steps, loss=loss, inner_loop=inner_loop)
        return loss(phi, x_query, y_query)

    def meta_loss(theta):
        return vmap(after_adaptation, in_dims=(None, 0, 0, 0, 0))(theta, *batch[:4]).mean()

    grads, value = grad_and_value(meta_loss)(theta)
    return MetaGrad(value, grads)


def fomaml(
    theta: Params,
    batch: Batch | SineBatch,
    *,
    alpha: Rate,
    steps: int,
    loss: Loss = mse,
    inner_loop: InnerLoop = inner_loop,
) -> MetaGrad:
    """First-order MAML: `maml` with every Jacobian I - αH_k replaced by I::

        g = mean_i ∇L(θ_i^(K); query_i)

    Args, Returns, Raises: as for `maml`. The loss is the same; only the gradient differs. An inner loop of
        another method must accept `first_order`, and leave out the second-order term if it is true.

    Source: Finn et al. (2017), section 5.2; named by Nichol et al. (2018).
    """
    first_order = partial(inner_loop, first_order=True)
    return maml(theta, batch, alpha=alpha, steps=steps, loss=loss, inner_loop=first_order)


def pretrain(theta: Params, batch: Batch | SineBatch, *, alpha: Rate, steps: int, loss: Loss = mse) -> MetaGrad:
    """Joint pre-training: one network for all tasks, on all of the batch's points::

        g = ∇_θ mean_i L(θ; support_i ∪ query_i)

    Pre-training never adapts: `alpha` and `steps` are checked and otherwise unused. The points are those
    that `maml` uses, no more and no fewer.

    Args, Returns, Raises: as for `maml`; the loss is that of θ itself.

    Source: the baseline "pretrained on all tasks" of Finn et al. (2017), section 5.1.
    """
    schedule("alpha", alpha, whole("steps", steps, 0))
    check_batch(theta, batch)
    x = torch.cat([batch.x_support, batch.x_query], dim=1)  # [T, n + Q, 1]
    y = torch.cat([batch.y_support, batch.y_query], dim=1)
    grads, value = grad_and_value(lambda theta: vmap(loss, in_dims=(None, 0, 0))(theta, x, y).mean())(theta)
    return MetaGrad(value, grads)


def checkpointed_maml(
    theta: Params, batch: Batch | SineBatch, *, alpha: Rate, steps: int, loss: Loss = mse, at_once: int = 100
) -> MetaGrad:
    """`maml` by gradient checkpointing: memory hardly grows with the number of inner steps or tasks, at a cost in time.

    Line 10's product is evaluated factor by factor, from the last step to the first, and only one step's graph is in
    memory at a time. The parameters at the start of each step are recomputed by recursive bisection: first those at the
    middle step, then those in the middle of each half, and so on. About log₂ K iterates are therefore kept at a time,
    and about (K log₂ K)/2 steps are repeated.

    Args:
        theta, batch, alpha, steps, loss: as for `maml`, with the book's own inner loop.
        at_once: number of tasks adapted together, ≥ 1; fewer need less memory and more time.

    Returns:
        MetaGrad: that of `maml`, up to rounding.

    Raises:
        TypeError, ValueError, RuntimeError: as `maml` does.

    Source: Griewank and Walther (2000), in its simplest form.
    """
    check_batch(theta, batch)
    rates = schedule("alpha", alpha, whole("steps", steps, 0))
    whole("at_once", at_once, 1)

    def of_task(x_support: Tensor, y_support: Tensor, x_query: Tensor, y_query: Tensor) -> tuple[Tensor, Params]:
        def step(phi: Params, rate: float | Tensor) -> Params:
            return adapt(phi, x_support, y_support, alpha=rate, steps=1, loss=loss)

        def after(phi: Params, rates: list[float | Tensor]) -> Params:
            for rate in rates:
                phi = step(phi, rate)
            return phi

        def back(phi: Params, rates: list[float | Tensor], v: Params) -> Params:
            """vᵀ dφ^(n)/dφ, through n steps from `phi`."""
            if len(rates) <= 1:
                return vjp(partial(step, rate=rates[0]), phi)[1](v)[0] if rates else v
            first, last = rates[: len(rates) // 2], rates[len(rates) // 2 :]
            return back(phi, first, back(after(phi, first), last, v))

        grads, value = grad_and_value(loss)(after(theta, rates), x_query, y_query)
        return value, back(theta, rates, grads)

    with torch.no_grad():
        values, grads = vmap(of_task, chunk_size=at_once)(*batch[:4])
        return MetaGrad(values.mean(), {name: g.mean(0) for name, g in grads.items()})


@dataclass(frozen=True)
class Method:
    """A method: a name and three pure functions. Calling it returns its meta-gradient.

    Your own method need state only what differs from MAML: `Method("anil", partial(maml, inner_loop=head), head)`
    adapts by the inner loop `head`, and differentiates through that loop.
    """

    name: str
    """Its name in a run file."""
    meta_gradient: Callable[..., MetaGrad]
    """`(theta, batch, *, alpha, steps, loss) -> MetaGrad`, with a gradient for each meta-parameter. `batch` is a
    `Batch`, and `alpha` a number, a tuple with one for each step, or in its place a tensor, zero-dimensional or
    [rates]: training checks the method with the config's numbers, and then passes a tensor, so that a new value needs
    no recompilation, unless the method can't be recorded with one."""
    inner_loop: InnerLoop = inner_loop
    """`(theta, x, y, *, alpha, steps, loss) -> iterator` over the parameters that `loss` takes, after 0, 1, …,
    `steps` steps on one task. Meta-test uses it, as does all other code that adapts. For `fomaml` it also takes
    `first_order`, and detaches its gradients if that is true."""
    init: Callable[[Params, Rate], Params] = lambda params, alpha: params
    """`(params, alpha) -> theta`: from the network's initial parameters to initial meta-parameters, any dict of tensors
    of one dtype. `alpha` is the config's: a number, or a tuple with one for each step."""

    def __call__(
        self, theta: Params, batch: Batch | SineBatch, *, alpha: Rate, steps: int, loss: Loss = mse
    ) -> MetaGrad:
        return self.meta_gradient(theta, batch, alpha=alpha, steps=steps, loss=loss)


METHODS = {m.name: m for m in (Method("maml", maml), Method("fomaml", fomaml), Method("pretrain", pretrain))}


def initial_gradient_norm(
    theta: Params, batch: Batch | SineBatch, loss: Loss = mse, inner_loop: InnerLoop = inner_loop
) -> Tensor:
    """Length of the first adaptation gradient, ‖∇L(θ^(0); support_i)‖₂, over all parameters together.

    Args:
        theta: initialisation, not adapted.
        batch: T tasks, of which the support points are used.
        loss, inner_loop: as for `adapt`; θ^(0) is the first iterate of the inner loop.

    Returns:
        The norms, [T], in units of the loss per unit of parameter. No autograd graph is kept.

    Raises:
        TypeError, ValueError, RuntimeError: as `maml` does.

    Source: the sensitivity that Finn et al. (2017) describe in section 1; in the book's inner loop the norm equals
    ‖θ^(0) - θ^(1)‖/α.
    """
    check_batch(theta, batch)

    def first_gradient(x: Tensor, y: Tensor) -> Params:
        start = next(iter(inner_loop(theta, x, y, alpha=0.0, steps=0, loss=loss)))
        return grad(loss)(start, x, y)

    with torch.no_grad():
        grads = vmap(first_gradient)(batch.x_support, batch.y_support)
        return torch.sqrt(sum(((g**2).reshape(len(g), -1).sum(1) for g in grads.values()), start=torch.zeros(())))


def check_batch(theta: Params, batch: Batch | SineBatch) -> None:
    """Raise unless the batch's shapes agree with one another and its dtypes with the parameters'."""
    _need_gradients()
    tensors_of(batch)
    if not isinstance(theta, Mapping):
        raise TypeError(f"theta must be a dict of tensors, got {type(theta).__name__}")
    for part in ("support", "query"):
        x, y = getattr(batch, f"x_{part}"), getattr(batch, f"y_{part}")
        if min(x.ndim, y.ndim) < 2 or y.shape[:2] != x.shape[:2] or len(x) != len(batch.x_support) or x.numel() == 0:
            shapes = {field: tuple(getattr(batch, field).shape) for field in Batch._fields}
            raise ValueError(f"batch must hold tensors [T, points, …] with one T ≥ 1, and as many x as y, got {shapes}")
        for name, p in theta.items():
            if x.dtype != p.dtype or y.dtype not in (p.dtype, torch.int64):
                raise TypeError(
                    f"batch and parameters must have one dtype, got {x.dtype}, {y.dtype}, {name} {p.dtype}; only y may "
                    "hold labels, in int64"
                )


def _need_gradients() -> None:
    if torch.is_inference_mode_enabled():
        raise RuntimeError("gradients are needed here, but torch.inference_mode() disables them: use torch.no_grad()")
