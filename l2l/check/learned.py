"""The exercises of the chapter on what is learned: ANIL's gradient, and centred kernel alignment."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

import l2l.methods as methods
from l2l.check.answers import Answer
from l2l.check.cases import batch_case, uniform
from l2l.check.exercise import Exercise
from l2l.check.mistakes import (
    CARRIED_ON,
    CLIMBS,
    TURNED,
    carried_on_gradient,
    climbing,
    miscounted,
    turned,
    usual,
)
from l2l.methods import InnerLoop, Loss, MetaGrad
from l2l.net import Params
from l2l.tasks import SineBatch

HEAD = ("W3", "b3")
BODY = ("W1", "b1", "W2", "b2")


def moving(*names: str) -> InnerLoop:
    """The inner loop of those tensors alone."""

    def loop(theta: Params, x: Tensor, y: Tensor, *, loss: Loss, **settings: object) -> Iterator[Params]:
        still = {name: p for name, p in theta.items() if name not in names}
        some = {name: theta[name] for name in names}
        on_task = lambda some, x, y: loss(still | some, x, y)  # noqa: E731
        return (still | step for step in methods.inner_loop(some, x, y, loss=on_task, **settings))  # type: ignore[arg-type]

    return loop


def adapting(loop: InnerLoop, method: Callable[..., MetaGrad] = methods.maml) -> Answer:
    return lambda theta, batch, alpha, steps: method(theta, batch, alpha=alpha, steps=steps, inner_loop=loop).grads


head_gradient = adapting(moving(*HEAD))


def head_trained_alone(theta: Params, batch: SineBatch, alpha: float, steps: int) -> Params:
    grads = methods.maml(theta, batch, alpha=alpha, steps=steps, inner_loop=moving(*HEAD)).grads
    return {name: g if name in HEAD else torch.zeros_like(g) for name, g in grads.items()}


anil_gradient = Exercise(
    name="anil_gradient",
    doc="""Check f(theta, batch, alpha, steps) → MAML's meta-gradient, like theta, when only W3 and b3 adapt.

    The outer loop trains all of theta; its loss is the mean over tasks of the query loss after adaptation.
    Source: Raghu et al. (2020).
    """,
    case=batch_case,
    oracle=head_gradient,
    mistakes={
        "All layers adapt: it is the gradient of MAML.": adapting(methods.inner_loop),
        "The body adapts and the head stays fixed; in ANIL only the head adapts.": adapting(moving(*BODY)),
        "Only W3 adapts; b3 belongs to the head, too.": adapting(moving("W3")),
        "The gradient with respect to the body is left out: the outer loop trains all layers.": head_trained_alone,
        "It is first-order ANIL: the inner gradients count as constants.": adapting(moving(*HEAD), methods.fomaml),
        CLIMBS: climbing(partial(methods.maml, inner_loop=moving(*HEAD))),
        CARRIED_ON: partial(carried_on_gradient, inner_loop=moving(*HEAD)),
        TURNED: turned(head_gradient),
        **usual(head_gradient),
        **miscounted(head_gradient),
    },
)


def outputs_case(i: int, generator: torch.Generator) -> dict:
    """Outputs of two layers at the same seven inputs; ReLU's are not centred, and neither are these."""
    Z1 = uniform(generator, 0, 2, 7, 3)
    return {"Z1": Z1, "Z2": Z1 @ uniform(generator, -1, 1, 3, 5) + uniform(generator, 0, 2, 7, 5)}


def alignment(
    Z1: Tensor,
    Z2: Tensor,
    centred: Callable[[Tensor], Tensor] = lambda Z1: Z1 - Z1.mean(0),
    size: Callable[[Tensor], Tensor] = torch.linalg.matrix_norm,
) -> Tensor:
    Z1, Z2 = centred(Z1), centred(Z2)
    return size(Z1.mT @ Z2) ** 2 / (size(Z1.mT @ Z1) * size(Z2.mT @ Z2))


def own_norms(Z1: Tensor, Z2: Tensor) -> Tensor:
    """With the norms of Z1 and Z2 in the denominator, as in a cosine."""
    Z1, Z2 = Z1 - Z1.mean(0), Z2 - Z2.mean(0)
    return (Z1.mT @ Z2).norm() ** 2 / (Z1.norm() * Z2.norm()) ** 2


cka = Exercise(
    name="cka",
    doc="""Check f(Z1, Z2) → linear centred kernel alignment of two layers' outputs at the same inputs, [inputs, units].

    Source: Kornblith et al. (2019).
    """,
    case=outputs_case,
    oracle=alignment,
    mistakes={
        "The mean over inputs is not subtracted.": partial(alignment, centred=lambda Z1: Z1),
        "It subtracts the mean of each row; the mean over the inputs is that of each column.": partial(
            alignment, centred=lambda Z1: Z1 - Z1.mean(1, keepdim=True)
        ),
        "It subtracts one mean of all numbers; each column has its own mean.": partial(
            alignment, centred=lambda Z1: Z1 - Z1.mean()
        ),
        "The numerator is not squared.": lambda Z1, Z2: (
            alignment(Z1, Z2) / (((Z1 - Z1.mean(0)).mT @ (Z2 - Z2.mean(0))).norm())
        ),
        "It is the square root of the alignment.": lambda Z1, Z2: alignment(Z1, Z2).sqrt(),
        "The denominator has ‖Z1‖² ‖Z2‖²; it has to be ‖Z1ᵀZ1‖ ‖Z2ᵀZ2‖.": own_norms,
        "The norms look like spectral norms; they must be Frobenius norms.": partial(
            alignment, size=lambda Z1: torch.linalg.matrix_norm(Z1, 2)
        ),
    },
)
