"""Does an implementation compute MAML's meta-gradient? Problems to test it on, in any language."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softmax
from torch.utils._pytree import tree_map

from l2l._validation import one_of
from l2l.check.answers import Answer, Failed
from l2l.check.cases import QUERY, SHOTS, TASKS, draw_batch, number, seeded, uniform
from l2l.check.exercise import Exercise
from l2l.check.line_10 import line_10_mistakes, maml_gradient
from l2l.check.mistakes import HALF_LOSSES, HALF_STEPS, TURNED, altered, scaled, turned
from l2l.check.sandbox import call, copies
from l2l.methods import Loss
from l2l.net import Params, init_params, mlp, mse
from l2l.tasks import Batch


@dataclass(frozen=True)
class Problem:
    """A network, a loss and a family of small tasks: what an implementation has to be told."""

    network: str
    """f, as a formula for any programming language."""
    loss_in_words: str
    sizes: tuple[int, ...]
    loss: Loss
    batch: Callable[[torch.Generator], Batch]
    alpha: tuple[float, float]
    """Range of the inner learning rate, in which the second-order term is far above every tolerance."""
    mistakes: Mapping[str, Answer]
    """Mistakes of this network or loss alone, besides those of line 10."""

    def case(self, i: int, generator: torch.Generator) -> dict:
        """(theta, batch, alpha, steps), with 1, 2, 3, 1, 2 steps."""
        theta = init_params(self.sizes, generator=generator, dtype=torch.float64)
        return {
            "theta": {name: p.requires_grad_() for name, p in theta.items()},
            "batch": self.batch(generator),
            "alpha": number(generator, *self.alpha),
            "steps": 1 + i % 3,
        }

    def exercise(self, case: Callable[[int, torch.Generator], dict] | None = None) -> Exercise:
        exact = with_loss(self.loss)
        known = {**line_10_mistakes(self.loss), **self.mistakes}
        if len(self.sizes) > 2:  # there is a W2
            known[TURNED] = turned(exact)
        if self.loss is class_loss:  # no square, no half
            known = {sentence: known[sentence] for sentence in known if sentence not in (HALF_LOSSES, HALF_STEPS)}
        return Exercise("verify", "", case=case or self.case, oracle=exact, mistakes=known)


def sinusoids(generator: torch.Generator) -> Batch:
    return Batch(*draw_batch(generator)[:4])


def planes(outputs: int, generator: torch.Generator) -> Batch:
    """Points of the plane, and two numbers to predict or one of three classes."""

    def half(points: int, W: Tensor) -> tuple[Tensor, Tensor]:
        x = uniform(generator, -2, 2, TASKS, points, 2)
        scores = torch.sin(x @ W)
        return x, scores if outputs == 2 else scores.argmax(2)

    W = uniform(generator, -1, 1, TASKS, 2, outputs)
    return Batch(*half(SHOTS, W), *half(QUERY, W))


def class_loss(theta: Params, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(mlp(theta, x, torch.tanh), y)


def softmax_twice(theta: Params, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(softmax(mlp(theta, x, torch.tanh), -1), y)


def without_biases(theta: Params, x: Tensor, y: Tensor) -> Tensor:
    return mse({name: p * (name[0] == "W") for name, p in theta.items()}, x, y)


def relu_at_the_end(theta: Params, x: Tensor, y: Tensor) -> Tensor:
    return ((torch.relu(mlp(theta, x)) - y) ** 2).mean()


def with_loss(loss: Loss) -> Answer:
    return partial(maml_gradient, loss=loss)


tanh_loss = partial(mse, activation=torch.tanh)
ACTIVATION = "The network looks like one with {}; this problem's network has {}."
MEAN_SQUARE = "mean over points, and over outputs, of (f(x) - y)²"

PROBLEMS = {
    "relu": Problem(
        "f(x) = relu(relu(x W1 + b1) W2 + b2) W3 + b3",
        MEAN_SQUARE,
        (1, 5, 5, 1),
        mse,
        sinusoids,
        (0.02, 0.04),
        {
            ACTIVATION.format("tanh", "relu"): with_loss(tanh_loss),
            "A relu seems to follow the last layer; the output must be linear.": with_loss(relu_at_the_end),
            "The biases seem to be left out.": with_loss(without_biases),
        },
    ),
    "tanh": Problem(
        "f(x) = tanh(tanh(x W1 + b1) W2 + b2) W3 + b3",
        MEAN_SQUARE,
        (2, 5, 5, 2),
        tanh_loss,
        partial(planes, 2),
        (0.2, 0.4),
        {
            ACTIVATION.format("relu", "tanh"): with_loss(mse),
            "The losses look like sums over the two outputs; they must be means over points and outputs.": scaled(
                altered(with_loss(tanh_loss), alpha=lambda alpha: 2 * alpha), 2
            ),
        },
    ),
    "line": Problem("f(x) = x W1 + b1", MEAN_SQUARE, (1, 1), mse, sinusoids, (0.01, 0.03), {}),
    "softmax": Problem(
        "f(x) = tanh(tanh(x W1 + b1) W2 + b2) W3 + b3, the scores of three classes",
        "mean over points of the cross-entropy -log softmax(f(x))[y], with y = 0, 1 or 2",
        (2, 5, 5, 3),
        class_loss,
        partial(planes, 3),
        (0.3, 0.6),
        {"Cross-entropy seems to receive probabilities: softmax is applied twice.": with_loss(softmax_twice)},
    ),
}
"""The problems of `verify`, by name."""


def verify(function: Answer, *, problem: str = "relu", arrays: str | None = None, seed: int | None = None) -> None:
    """Say whether somebody's implementation of MAML's meta-gradient is right, and if not, which mistake it makes::

        θ_i^(k) = θ_i^(k-1) - α ∇L(θ_i^(k-1); support_i)
        function(theta, batch, alpha, steps) → ∇_θ mean_i L(θ_i^(steps); query_i)

    The function is called on five random cases of a small problem, with 1, 2 and 3 inner steps, 3 tasks, 5 support and
    7 query points for each, in double precision. It may use finite differences, numpy, JAX or a library, and may
    compute in single precision.

    Args:
        function: takes `theta`, a dict W1 [in, out], b1 [out], W2, …; `batch`, a named tuple of x_support [T, n, in],
            y_support, x_query and y_query; the inner rate; the number of inner steps. Returns the gradient, like
            `theta`: a dict, a sequence in the same order, or one flat vector.
        problem: "relu", "tanh", "line" or "softmax"; `PROBLEMS` has the network and the loss of each.
        arrays: "torch" (the parameters require gradients) or "numpy". If not given, torch is tried first, and numpy
            where the function raises; the line that is printed says which it was.
        seed: repeats the cases of an earlier run.

    Raises:
        Failed: the function is not right; the message says what is wrong.
        ValueError: there is no such problem, or no such kind of arrays.

    Source: Finn et al. (2017), algorithm 2, with the mean over tasks.
    """
    chosen = PROBLEMS[one_of("problem", problem, PROBLEMS)]
    if arrays is None:
        arrays = arrays_for(function, chosen.case(0, seeded(seed)[1]))
    given = GIVEN[one_of("arrays", arrays, GIVEN)]
    print(f"verify: {chosen.network}, L = {chosen.loss_in_words}; called with {arrays} arrays.")
    chosen.exercise().examine(lambda *case: plain(function(*given(case))), seed)


def arrays_for(function: Answer, case: dict) -> str:
    """The arrays that a function takes: torch's unless it raises with those, and does not with numpy's.

    Raises:
        Failed: it raises with both.
    """
    try:
        call("verify", function, copies(case))
    except Failed as with_torch:
        try:
            call("verify", function, as_numpy(copies(case)))
        except Failed as with_numpy:
            if str(with_numpy) == str(with_torch):  # no matter of arrays
                raise with_torch from None
            again = str(with_numpy).removeprefix("verify: ")
            raise Failed(f"{with_torch}\nWith numpy arrays in place of tensors: {again}") from None
        return "numpy"
    return "torch"


def as_numpy(case: Any) -> Any:
    return tree_map(lambda value: value.detach().numpy() if isinstance(value, Tensor) else value, case)


GIVEN: dict[str, Callable[[Any], Any]] = {"torch": lambda case: case, "numpy": as_numpy}


def plain(answer: object) -> object:
    """Convert arrays of other libraries, such as JAX's, to numpy's."""

    def leaf(value: object) -> object:
        return np.array(value) if hasattr(value, "__array__") and not isinstance(value, Tensor) else value

    return tree_map(leaf, answer)
