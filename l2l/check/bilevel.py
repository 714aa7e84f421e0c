"""The exercises of the chapter on the two levels: adaptation, the meta-loss, and the best start on parabolas."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import grad

import l2l.methods as methods
from l2l.check.answers import Answer
from l2l.check.cases import SHOTS, TASKS, batch_case, number, task_case, uniform
from l2l.check.exercise import Exercise
from l2l.check.mistakes import CARRIED_ON, CLIMBS, TURNED, altered, carried_on, miscounted, negative, turned, usual
from l2l.net import Params, flatten, mlp, mse, unflatten
from l2l.tasks import SineBatch


def adapted(theta: Params, x: Tensor, y: Tensor, alpha: float, steps: int) -> Params:
    return methods.adapt(theta, x, y, alpha=alpha, steps=steps)


def upwards(theta, x, y, alpha, steps):
    return methods.adapt(theta, x, y, alpha=alpha, steps=steps, loss=negative(mse))


def all_at_start(theta, x, y, alpha, steps):
    return adapted(theta, x, y, steps * alpha, 1)


def no_derivative(theta, x, y, alpha, steps):
    return {name: p.detach() for name, p in adapted(theta, x, y, alpha, steps).items()}


def derivative_of_first_order(theta, x, y, alpha, steps):
    first_order = partial(methods.inner_loop, first_order=True)
    return methods.adapt(theta, x, y, alpha=alpha, steps=steps, inner_loop=first_order)


def derivative(phi: list[Tensor], given: dict) -> Tensor:
    """The derivative with respect to theta of one number that depends on all of φ."""
    theta = given["theta"]
    found = flatten(dict(zip(theta, phi, strict=True))) if len(phi) == len(theta) else phi[0]
    outputs = mlp(unflatten(found.double(), theta), given["x"] + 1).sin().sum()
    if not outputs.requires_grad:
        return torch.zeros_like(flatten(theta))
    grads = torch.autograd.grad(outputs, list(theta.values()), allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in grads])


adapt = Exercise(
    name="adapt",
    doc="""Check f(theta, x, y, alpha, steps) → φ: θ^(k) = θ^(k-1) - α ∇L(θ^(k-1); x, y), L the mean squared error.

    φ must stay a differentiable function of theta; a second pass checks its derivative.

    Source: Finn et al. (2017), equation 1.
    """,
    case=task_case,
    oracle=adapted,
    mistakes={
        "The steps climb the loss: each must be minus α times the gradient.": upwards,
        "The loss looks like a sum over the points; it must be a mean.": altered(adapted, alpha=lambda a: SHOTS * a),
        "It looks like the gradient of half the squared error; L is the mean of (f(x) - y)², without a factor 1/2.": (
            altered(adapted, alpha=lambda a: a / 2)
        ),
        "It takes one step, whatever steps says.": altered(adapted, steps=lambda K: 1),
        "It took one step too few.": altered(adapted, steps=lambda K: K - 1),
        "It took one step too many.": altered(adapted, steps=lambda K: K + 1),
        "The steps look as if α were 1: is α missing?": altered(adapted, alpha=lambda a: 1.0),
        "Every gradient seems to be taken at θ; step k must take its gradient at θ^(k-1).": all_at_start,
        "It returns theta unchanged: no step is taken.": lambda theta, x, y, alpha, steps: theta,
        "It returns the gradient at θ, not φ.": lambda theta, x, y, alpha, steps: grad(mse)(theta, x, y),
        TURNED: turned(adapted),
    },
    then=Exercise(
        name="adapt (its derivative with respect to theta)",
        doc="Check that φ, right in its numbers, is a differentiable function of theta.",
        case=task_case,
        oracle=adapted,
        mistakes={
            "φ is right, but not differentiable with respect to θ, as after a detached inner step. "
            "Is there a .detach(), a .data or a no_grad()?": no_derivative,
            "φ is right, but its derivative with respect to θ is I where each step should contribute a factor I - αH. "
            "Is create_graph=True missing, or the inner gradient detached?": derivative_of_first_order,
        },
        observed=derivative,
    ),
)


def loss_after_adaptation(theta: Params, batch: SineBatch, alpha: float, steps: int) -> Tensor:
    return methods.maml(theta, batch, alpha=alpha, steps=steps).loss


def loss_after_climbing(theta, batch, alpha, steps):
    return -methods.maml(theta, batch, alpha=alpha, steps=steps, loss=negative(mse)).loss


meta_loss = Exercise(
    name="meta_loss",
    doc="""Check f(theta, batch, alpha, steps) → F(θ) = mean_i L(θ_i^(K); query_i), a single number.

    Source: Finn et al. (2017), the objective of section 2.2, with the mean over tasks.
    """,
    case=batch_case,
    oracle=loss_after_adaptation,
    mistakes={
        CLIMBS: loss_after_climbing,
        CARRIED_ON: carried_on,
        **usual(loss_after_adaptation),
        **miscounted(loss_after_adaptation),
    },
)


def parabolas_case(i: int, generator: torch.Generator) -> dict:
    c, h = uniform(generator, -2, 2, TASKS), uniform(generator, 0.1, 2, TASKS)
    return {"c": c, "h": h, "alpha": number(generator, 0.1, 0.4), "steps": 1 + i % 3}


def mean(weight: Callable[[Tensor, Tensor, int], Tensor]) -> Answer:
    """The mean of the minima c, weighted by `weight(h, 1 - αh, steps)`."""

    def weighted(c: Tensor, h: Tensor, alpha: float, steps: int) -> Tensor:
        w = weight(h, 1 - alpha * h, steps)
        return (w * c).sum() / w.sum()

    return weighted


best = mean(lambda h, left, K: h * left ** (2 * K))

best_start = Exercise(
    name="best_start",
    doc="""Check f(c, h, alpha, steps) → θ*, where MAML converges on parabolas L_i(θ) = h_i (θ - c_i)²/2; c, h [T].

    After K steps the loss is h_i (1 - αh_i)^(2K) (θ - c_i)²/2, so that θ* is a weighted mean of the minima.
    """,
    case=parabolas_case,
    oracle=best,
    mistakes={
        "It is where joint training converges, with weights h: adaptation is left out.": mean(lambda h, left, K: h),
        "It is the plain mean of the minima; tasks differ in weight.": mean(lambda h, left, K: torch.ones_like(h)),
        "It is where first-order MAML converges: (1 - αh)^K should be squared.": mean(lambda h, left, K: h * left**K),
        "The weight lacks the factor h.": mean(lambda h, left, K: left ** (2 * K)),
        "It is the answer for one step, whatever steps says.": altered(best, steps=lambda K: 1),
        "It is the answer for one step too few.": altered(best, steps=lambda K: K - 1),
        "It is the answer for one step too many.": altered(best, steps=lambda K: K + 1),
        "The factors look like 1 + αh; a descent step has the factor 1 - αh.": mean(
            lambda h, left, K: h * (2 - left) ** (2 * K)
        ),
        "The step size α is missing.": altered(best, alpha=lambda alpha: 1.0),
    },
)
