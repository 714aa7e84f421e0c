"""The exercises of the chapter on MAML's relatives: the gradients of implicit MAML and of Meta-SGD's rates."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad

from l2l.check.answers import Answer
from l2l.check.cases import batch_case, number, uniform
from l2l.check.exercise import Exercise
from l2l.check.mistakes import CARRIED_ON, FIRST_TASK, ON_SUPPORT, ONE_STEP, SWAPPED, TOO_MANY, altered, only, taken
from l2l.net import Params, flatten, mse, unflatten
from l2l.tasks import SineBatch


def adapted_case(i: int, generator: torch.Generator) -> dict:
    """(phi, x_support, y_support, x_query, y_query, rho), with eigenvalues of I + H/rho of at least a half."""
    case = batch_case(i, generator)
    points = {name: getattr(case["batch"], name)[0] for name in ("x_support", "y_support", "x_query", "y_query")}
    like = case["theta"]

    def loss(v: Tensor) -> Tensor:
        return mse(unflatten(v, like), points["x_support"], points["y_support"])

    H = torch.func.jacrev(grad(loss))(flatten(like).detach())
    below = max(0.0, -torch.linalg.eigvalsh((H + H.mT) / 2)[0].item())
    return {"phi": like, **points, "rho": number(generator, 20, 40) + 2 * below}


def solved(
    matrix: Callable[[Tensor, float], Tensor] = lambda H, rho: torch.eye(len(H), dtype=H.dtype) + H / rho,
    solve: Callable[[Tensor, Tensor], Tensor] = torch.linalg.solve,
    hessian_on: str = "support",
    gradient_on: str = "query",
) -> Answer:
    """M⁻¹g with the whole matrix, for which 97 parameters are few enough."""

    def answer(phi: Params, rho: float, **points: Tensor) -> Params:
        def loss(v: Tensor, on: str) -> Tensor:
            return mse(unflatten(v, phi), points[f"x_{on}"], points[f"y_{on}"])

        at = flatten(phi).detach()
        H = torch.func.jacrev(grad(loss))(at, hessian_on)
        return unflatten(solve(matrix(H, rho), grad(loss)(at, gradient_on)), phi)

    return answer


def explicit(H: Tensor, rho: float) -> Tensor:
    return torch.eye(len(H), dtype=H.dtype) - H / rho


implicit_gradient = Exercise(
    name="implicit_gradient",
    doc="""Check f(phi, x_support, y_support, x_query, y_query, rho) → (I + H/rho)⁻¹ g for one task, like phi.

    H is the Hessian of the support loss at phi, g the gradient of the query loss there.
    Source: Rajeswaran et al. (2019), equation 6.
    """,
    case=adapted_case,
    oracle=solved(),
    mistakes={
        "It is the query gradient at φ itself, as in first-order MAML: no linear system is solved.": solved(
            solve=lambda M, g: g
        ),
        "The query gradient is multiplied by I + H/ρ instead of by the inverse.": solved(solve=torch.matmul),
        "The query gradient is multiplied by I - H/ρ, MAML's factor for one step with α = 1/ρ.": solved(
            explicit, torch.matmul
        ),
        "The sign of H is wrong: this is (I - H/ρ)⁻¹ g.": solved(explicit),
        "H is that of the query loss; it should be that of the support loss.": solved(hessian_on="query"),
        "The gradient is that of the support loss; it should be that of the query loss.": solved(gradient_on="support"),
        SWAPPED: solved(hessian_on="query", gradient_on="support"),
        "H is multiplied by ρ; it must be divided by ρ.": solved(
            lambda H, rho: torch.eye(len(H), dtype=H.dtype) + rho * H
        ),
    },
)


def rates_case(i: int, generator: torch.Generator) -> dict:
    """(theta, rates, batch, steps): a rate for each parameter."""
    case = batch_case(i, generator)
    rates = {name: uniform(generator, 0.02, 0.04, *p.shape).requires_grad_() for name, p in case["theta"].items()}
    return {"theta": case["theta"], "rates": rates, "batch": case["batch"], "steps": case["steps"]}


def by_rates(
    of: str = "rates",
    first_order: bool = False,
    last_alone: bool = False,
    logarithm: bool = False,
    carry: bool = False,
) -> Answer:
    def answer(theta: Params, rates: Params, batch: SineBatch, steps: int) -> Params:
        total, phi = torch.zeros((), dtype=torch.float64), theta
        for x, y, x_query, y_query in zip(*batch[:4], strict=True):
            phi = phi if carry else theta
            for k in range(steps):
                slope = grad(mse)(phi, x, y)
                if first_order:
                    slope = {name: g.detach() for name, g in slope.items()}
                last = k == steps - 1 or not last_alone
                phi = {n: p - (rates[n] if last else rates[n].detach()) * slope[n] for n, p in phi.items()}
            total = total + mse(phi, x_query, y_query) / len(batch.x_support)
        by = theta if of == "theta" else rates
        found = torch.autograd.grad(total, list(by.values()))
        return {n: p.detach() * g if logarithm else g for (n, p), g in zip(by.items(), found, strict=True)}

    return answer


rate_gradient = Exercise(
    name="rate_gradient",
    doc="""Check f(theta, rates, batch, steps) → Meta-SGD's gradient with respect to its rates, like rates.

    Each inner step is φ ← φ - rates ⊙ ∇L(φ); the outer loss is the mean over tasks of the query loss after all steps.
    Source: Li et al. (2017).
    """,
    case=rates_case,
    oracle=by_rates(),
    mistakes={
        "It is the gradient with respect to theta, not to the rates.": by_rates(of="theta"),
        "It is the gradient with respect to the logarithm of the rates.": by_rates(logarithm=True),
        "It is first order: the inner gradients count as constants.": by_rates(first_order=True),
        "Only the last inner step is differentiated; the rates act in every step.": by_rates(last_alone=True),
        ONE_STEP: altered(by_rates(), steps=lambda K: 1),
        TOO_MANY: altered(by_rates(), steps=lambda K: K + 1),
        ON_SUPPORT: altered(by_rates(), batch=taken("support", "support")),
        SWAPPED: altered(by_rates(), batch=taken("query", "support")),
        FIRST_TASK: altered(by_rates(), batch=only(0)),
        CARRIED_ON: by_rates(carry=True),
    },
)
