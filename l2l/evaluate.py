"""Meta-test: adapt to unseen tasks, and record support and query error after every step."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad, vmap

from l2l._validation import one_of, schedule, whole
from l2l.adam import adam, adam_init
from l2l.methods import METHODS, Loss, Method, Rate, check_batch
from l2l.net import Params, flatten, mse, unflatten
from l2l.tasks import Batch, SineBatch

OPTIMIZERS = ("sgd", "adam")


class Curve(NamedTuple):
    """Error of each task after 0, 1, …, steps adaptation steps: the mean squared error, or another loss."""

    support: Tensor  # [steps+1, T], or [steps+1, R, T] of R replicas: on the points adapted to
    query: Tensor  # in the same shape: on unseen points, the error that matters


def adaptation_curve(
    theta: Params,
    batch: Batch | SineBatch,
    *,
    alpha: Rate,
    steps: int,
    optimizer: str = "sgd",
    loss: Loss = mse,
    method: str | Method = "maml",
) -> Curve:
    """Adapt to each task's support points, and measure the error after each step::

        support[k, i] = L(θ_i^(k); support_i)
        query[k, i]   = L(θ_i^(k); query_i)          k = 0 … steps

    No autograd graph is kept. `Run.adaptation_curve` does the same for a run, with the method, network and loss that it
    was trained with.

    Args:
        theta: initialisation: the meta-parameters of `method`.
        batch: T tasks.
        alpha: learning rate of the adaptation, as for `inner_loop`.
        steps: number of adaptation steps, ≥ 0.
        optimizer: "sgd", the method's own inner loop; or "adam", the book's inner loop with Adam, initialised anew for
            each task, in place of gradient descent, for methods that share that loop.
        loss: function of (params, x, y), as for `adapt`; it applies the network, which for `mse` is the book's own.
        method: the method whose inner loop adapts: a name, or a `Method`. The built-in methods share one inner loop.

    Returns:
        Curve of two [steps+1, T] tensors, in units of the loss; infinite where adaptation has diverged so far
        that the numbers overflow.

    Raises:
        TypeError, ValueError: a bad value or unknown optimiser, shapes or dtypes that do not match, or an inner loop
            that yields another number of iterates.
        RuntimeError: within `torch.inference_mode()`, where there are no gradients.

    Source: Finn et al. (2017), figure 3 and table 2.
    """
    schedule("alpha", alpha, whole("steps", steps, 0))
    one_of("optimizer", optimizer, OPTIMIZERS)
    method = method if isinstance(method, Method) else METHODS[one_of("method", method, METHODS)]
    if optimizer == "adam" and method.inner_loop is not METHODS["maml"].inner_loop:
        raise ValueError(f"optimizer must be sgd for {method.name}, which has an inner loop of its own, got adam")
    inner_loop = adam_loop if optimizer == "adam" else method.inner_loop
    check_batch(theta, batch)

    def errors(x_support: Tensor, y_support: Tensor, x_query: Tensor, y_query: Tensor) -> tuple[Tensor, Tensor]:
        phis = inner_loop(theta, x_support, y_support, alpha=alpha, steps=steps, loss=loss)
        curve = [(loss(phi, x_support, y_support), loss(phi, x_query, y_query)) for phi in phis]
        if len(curve) != steps + 1:
            raise TypeError(f"the inner loop of {method.name} must yield {steps + 1} iterates, got {len(curve)}")
        support, query = zip(*curve, strict=True)
        return torch.stack(support), torch.stack(query)

    with torch.no_grad():
        both = vmap(errors, out_dims=1)(*batch[:4])  # [steps+1, T] each
    return Curve(*(error.nan_to_num(nan=torch.inf, posinf=torch.inf) for error in both))


def adam_loop(theta: Params, x: Tensor, y: Tensor, *, alpha: Rate, steps: int, loss: Loss = mse) -> Iterator[Params]:
    """`inner_loop` with Adam in place of gradient descent.

    Args, Yields, Raises: as for `inner_loop`.

    Source: Kingma & Ba (2015), algorithm 1.
    """
    yield theta
    vector = flatten(theta)
    state = adam_init(vector)
    for rate in schedule("alpha", alpha, steps):
        slope = grad(lambda vector: loss(unflatten(vector, theta), x, y))(vector)
        vector, state = adam(vector, slope, state, rate)
        yield unflatten(vector, theta)
