"""The exercises of the chapter on first-order methods: FOMAML and Reptile."""

from functools import partial

from torch import Tensor
from torch.func import grad

import l2l.methods as methods
from l2l.check.cases import SHOTS, batch_case, task_case
from l2l.check.exercise import Exercise
from l2l.check.line_10 import first_order_gradient, maml_gradient
from l2l.check.mistakes import (
    CARRIED_ON,
    CLIMBS,
    TURNED,
    altered,
    carried_on_gradient,
    climbing,
    miscounted,
    negative,
    taken,
    turned,
    usual,
)
from l2l.net import Params, flatten, mse, unflatten


def inner_gradient_left(theta, batch, alpha, steps):
    left = first_order_gradient(theta, taken("support", "support")(batch), alpha, steps - 1)
    return flatten(first_order_gradient(theta, batch, alpha, steps)) + flatten(left)


fomaml_gradient = Exercise(
    name="fomaml_gradient",
    doc="""Check f(theta, batch, alpha, steps) → mean_i ∇L(θ_i^(K); query_i), the first-order gradient, like theta.

    Source: Finn et al. (2017), section 5.2.
    """,
    case=batch_case,
    oracle=first_order_gradient,
    mistakes={
        "It is the full gradient of MAML: the inner gradients must be treated as constants.": maml_gradient,
        CLIMBS: climbing(methods.fomaml),
        CARRIED_ON: partial(carried_on_gradient, inner_loop=partial(methods.inner_loop, first_order=True)),
        "It looks like the last inner gradient left in .grad: .backward() adds to what is there.": inner_gradient_left,
        TURNED: turned(first_order_gradient),
        **usual(first_order_gradient),
        **miscounted(first_order_gradient),
    },
)


def adapted(theta: Params, x: Tensor, y: Tensor, alpha: float, steps: int) -> Tensor:
    return flatten(methods.adapt(theta, x, y, alpha=alpha, steps=steps))


def moved(theta: Params, x: Tensor, y: Tensor, alpha: float, steps: int) -> Tensor:
    """θ - θ^(K)."""
    return flatten(theta) - adapted(theta, x, y, alpha, steps)


def direction(theta: Params, x: Tensor, y: Tensor, alpha: float, steps: int) -> Params:
    return unflatten(moved(theta, x, y, alpha, steps) / alpha, theta)


def backwards(theta, x, y, alpha, steps):
    return -moved(theta, x, y, alpha, steps) / alpha


def per_step(theta, x, y, alpha, steps):
    return moved(theta, x, y, alpha, steps) / alpha / steps


def gradient_at_phi(theta, x, y, alpha, steps):
    return grad(mse)(methods.adapt(theta, x, y, alpha=alpha, steps=steps), x, y)


def of_sums(theta, x, y, alpha, steps):
    return moved(theta, x, y, SHOTS * alpha, steps) / alpha


def upwards(theta, x, y, alpha, steps):
    phi = methods.adapt(theta, x, y, alpha=alpha, steps=steps, loss=negative(mse))
    return (flatten(theta) - flatten(phi)) / alpha


reptile_direction = Exercise(
    name="reptile_direction",
    doc="""Check f(theta, x, y, alpha, steps) → (θ - θ^(K))/α, what Reptile descends on one task, like theta.

    Source: Nichol et al. (2018).
    """,
    case=task_case,
    oracle=direction,
    mistakes={
        "The division by α is missing.": moved,
        "It has the wrong sign: a descent must go towards φ.": backwards,
        "It divides by the number of steps as well.": per_step,
        "It is the gradient at θ: one step's worth, however many there are.": altered(direction, steps=lambda K: 1),
        "It is the gradient at φ; Reptile takes the whole displacement, (θ - φ)/α.": gradient_at_phi,
        "It took one step too few.": altered(direction, steps=lambda K: K - 1),
        "It took one step too many.": altered(direction, steps=lambda K: K + 1),
        "The loss looks like a sum over the points; it must be a mean.": of_sums,
        CLIMBS: upwards,
        "It returns φ itself.": adapted,
    },
)
