"""The exercises of the chapter on line 10: Hessian-vector products, their chain, and the meta-gradient."""

from collections.abc import Callable
from functools import partial
from operator import itemgetter

import torch
from torch import Tensor
from torch.func import grad, jacrev

import l2l.methods as methods
from l2l.check.answers import Answer, numbers
from l2l.check.cases import batch_case, number, task_case, uniform
from l2l.check.exercise import Exercise
from l2l.check.mistakes import (
    CARRIED_ON,
    CLIMBS,
    TURNED,
    altered,
    carried_on_gradient,
    climbing,
    miscounted,
    taken,
    turned,
    usual,
)
from l2l.methods import Loss
from l2l.net import Params, flatten, mlp, mse
from l2l.tasks import Batch, SineBatch


def direction_case(i: int, generator: torch.Generator) -> dict:
    task = task_case(i, generator)
    v = {name: uniform(generator, -1, 1, *p.shape) for name, p in task["theta"].items()}
    return {"theta": task["theta"], "x": task["x"], "y": task["y"], "v": v}


def hvp(theta: Params, x: Tensor, y: Tensor, v: Params, loss: Loss = mse) -> Params:
    """H v = ∇(∇L · v)."""
    return grad(lambda theta: sum((g * v[name]).sum() for name, g in grad(loss)(theta, x, y).items()))(theta)


def gauss_newton(theta, x, y, v):
    J = torch.cat([j.flatten(1) for j in jacrev(lambda theta: mlp(theta, x)[:, 0])(theta).values()], 1)
    return 2 / len(x) * J.mT @ (J @ flatten(v))


def outer_product(theta, x, y, v):
    g = flatten(grad(mse)(theta, x, y))
    return g * (g @ flatten(v))


def gradient_left(theta, x, y, v):
    return flatten(grad(mse)(theta, x, y)) + flatten(hvp(theta, x, y, v))


hessian_vector_product = Exercise(
    name="hessian_vector_product",
    doc="""Check f(theta, x, y, v) → H v, H the Hessian of the mean squared error at theta; v and the answer like theta.

    Source: Pearlmutter (1994).
    """,
    case=direction_case,
    oracle=hvp,
    mistakes={
        "It is the Gauss-Newton product JᵀJ v: the second derivatives of the network are missing.": gauss_newton,
        "It is g (g·v), the product with the gradient's outer product, not with the Hessian.": outer_product,
        "It is the gradient itself; differentiate g·v once more.": lambda theta, x, y, v: grad(mse)(theta, x, y),
        "It is H H v: one product too many.": lambda theta, x, y, v: hvp(theta, x, y, hvp(theta, x, y, v)),
        "It is g + H v: the gradient seems to be left in .grad, to which .backward() adds.": gradient_left,
        TURNED: turned(hvp),
    },
)


def hessians_case(i: int, generator: torch.Generator) -> dict:
    A = uniform(generator, -1, 1, 2 + i % 3, 4, 4)
    return {"hessians": A + A.mT, "g": uniform(generator, -1, 1, 4), "alpha": number(generator, 0.1, 0.4)}


def product(hessians: Tensor, g: Tensor, alpha: float) -> Tensor:
    for H in hessians.flip(0):
        g = g - alpha * H @ g
    return g


def with_hessians(change: Callable[[Tensor], Tensor]) -> Answer:
    return altered(product, hessians=change)


unrolled_product = Exercise(
    name="unrolled_product",
    doc="Check f(hessians, g, alpha) → (I - αH_0)(I - αH_1)…(I - αH_{K-1}) g, like g [P]; hessians [K, P, P].",
    case=hessians_case,
    oracle=product,
    mistakes={
        "It looks like the reversed product: (I - αH_{K-1}) must act on g first.": with_hessians(lambda H: H.flip(0)),
        "It takes H_0 in every factor.": with_hessians(lambda H: H[:1].expand_as(H)),
        "It takes the last Hessian in every factor.": with_hessians(lambda H: H[-1:].expand_as(H)),
        "It is g - α ΣH g: what is left of the product without the terms in α², α³, …": (
            lambda hessians, g, alpha: g - alpha * hessians.sum(0) @ g
        ),
        "The factors look like I + αH; a descent step has the factor I - αH.": altered(product, alpha=lambda a: -a),
        "The step size α is missing.": altered(product, alpha=lambda a: 1.0),
        "It is g: no factor was applied.": lambda hessians, g, alpha: g,
        "The factor of H_0 is missing.": with_hessians(lambda H: H[1:]),
        "The factor of the last Hessian is missing.": with_hessians(lambda H: H[:-1]),
        "Only the factor of H_0 is there.": with_hessians(lambda H: H[:1]),
        "Only the factor of the last Hessian is there.": with_hessians(lambda H: H[-1:]),
    },
)


def maml_gradient(theta: Params, batch: Batch | SineBatch, alpha: float, steps: int, loss: Loss = mse) -> Params:
    return methods.maml(theta, batch, alpha=alpha, steps=steps, loss=loss).grads


def first_order_gradient(theta: Params, batch: Batch | SineBatch, alpha: float, steps: int, loss: Loss = mse) -> Params:
    return methods.fomaml(theta, batch, alpha=alpha, steps=steps, loss=loss).grads


def chain(order: Callable[[list[Params]], list[Params]], loss: Loss = mse, sign: int = -1) -> Callable[..., Tensor]:
    """mean_i ∏(I + sign·αH) ∇L, the Hessians at the points that `order` makes of θ^(0), …, θ^(K-1)."""

    def multiplied(theta: Params, batch: Batch | SineBatch, alpha: float, steps: int) -> Tensor:
        total = torch.zeros(())
        for x_support, y_support, x_query, y_query in zip(*batch[:4], strict=True):
            points = list(methods.inner_loop(theta, x_support, y_support, alpha=alpha, steps=steps, loss=loss))
            v = grad(loss)(points[-1], x_query, y_query)
            for phi in order(points[:-1]):
                H = hvp(phi, x_support, y_support, v, loss)
                v = {name: v[name] + sign * alpha * H[name] for name in v}
            total = total + flatten(v) / len(batch.x_support)
        return total

    return multiplied


def line_10_mistakes(loss: Loss = mse) -> dict[str, Answer]:
    """What goes wrong with the meta-gradient of this loss."""
    exact = partial(maml_gradient, loss=loss)
    first_order = partial(first_order_gradient, loss=loss)
    chained = partial(chain, loss=loss)

    def first_powers(theta, batch, alpha, steps):
        """g - α ΣH_k g: each task's products summed instead of multiplied."""
        one = [numbers(chained(itemgetter(slice(k, k + 1)))(theta, batch, alpha, steps)) for k in range(steps)]
        return sum(one) - (steps - 1) * flatten(first_order(theta, batch, alpha, steps))

    def inner_gradients_left(theta, batch, alpha, steps):
        on_support = taken("support", "support")(batch)
        left = [flatten(exact(theta, on_support, alpha, k)) for k in range(steps)]
        return sum(left) + flatten(exact(theta, batch, alpha, steps))

    def one_gradient_left(theta, batch, alpha, steps):
        left = flatten(first_order(theta, taken("support", "support")(batch), alpha, 0))
        return left + flatten(exact(theta, batch, alpha, steps))

    return {
        "It is the first-order gradient, taken at φ instead of back through φ to θ. It looks like a missing "
        "create_graph=True, or a detached inner step.": first_order,
        "It looks like the reversed product: (I - αH_{K-1}) must act on the query gradient first.": chained(
            lambda points: points
        ),
        "It takes all Hessians at θ; factor k needs the one at θ^(k).": chained(
            lambda points: points[:1] * len(points)
        ),
        "It takes all Hessians at the last point; factor k needs the one at θ^(k).": chained(
            lambda points: points[-1:] * len(points)
        ),
        "Only the last inner step is differentiated through; every step has its factor I - αH.": chained(
            lambda points: points[-1:]
        ),
        "Only the first inner step is differentiated through; every step has its factor I - αH.": chained(
            lambda points: points[:1]
        ),
        "The first step's factor I - αH_0 is missing.": chained(lambda points: points[:0:-1]),
        "It is g - α ΣH g: what is left of the product without the terms in α², α³, …": first_powers,
        "The factors look like I + αH; a descent step has the factor I - αH.": chained(
            lambda points: points[::-1], sign=1
        ),
        CLIMBS: climbing(methods.maml, loss),
        CARRIED_ON: partial(carried_on_gradient, loss=loss),
        "It looks like inner gradients left in .grad: .backward() adds to what is there.": inner_gradients_left,
        "It looks like the support gradient at θ left in .grad: .backward() adds to what is there.": one_gradient_left,
        **usual(exact),
        **miscounted(exact),
    }


meta_gradient = Exercise(
    name="meta_gradient",
    doc="""Check f(theta, batch, alpha, steps) → ∇_θ mean_i L(θ_i^(K); query_i), like theta; line 10 of the listing.

    Source: Finn et al. (2017), algorithm 2, with the mean over tasks.
    """,
    case=batch_case,
    oracle=maml_gradient,
    mistakes={**line_10_mistakes(), TURNED: turned(maml_gradient)},
)
