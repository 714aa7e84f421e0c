"""The exercises of the chapter on the best learner: the posterior mean, and the best linear estimate."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from l2l.bayes import posterior
from l2l.check.answers import Answer
from l2l.check.cases import number, uniform
from l2l.check.exercise import Exercise
from l2l.check.mistakes import altered
from l2l.tasks import SineTasks

LOW, HIGH = SineTasks().amplitude
SQUARE = (LOW**2 + LOW * HIGH + HIGH**2) / 3  # E[A²]
PRIOR = torch.tensor([0.0, (LOW + HIGH) / math.pi], dtype=torch.float64)  # mean of (p, q)
VARIANCE = SQUARE / 2 - PRIOR**2
GRID = 500  # of amplitudes and of phases, at midpoints


def noisy_case(i: int, generator: torch.Generator) -> dict:
    """2, 3, … points of a sinusoid, and noise so large that the prior matters."""
    A, b, noise = number(generator, 0.5, 4), number(generator, 0.3, 2.8), number(generator, 0.8, 1.6)
    x = uniform(generator, -5, 5, 2 + i)
    return {"x": x, "y": A * torch.sin(x + b) + noise * uniform(generator, -1, 1, 2 + i), "noise": noise}


def mean_of_posterior(x: Tensor, y: Tensor, noise: float, family: SineTasks = SineTasks()) -> Tensor:  # noqa: B008 (frozen)
    return posterior(x[:, None], y[:, None], noise=noise, family=family).mean


def on_grid(x: Tensor, y: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Amplitudes, phases, and the posterior density of each pair, [GRID, GRID], up to a factor."""
    middle = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    A, b = torch.meshgrid(LOW + (HIGH - LOW) * middle, math.pi * middle, indexing="ij")
    log = -sum((yj - A * torch.sin(xj + b)) ** 2 for xj, yj in zip(x, y, strict=True)) / (2 * noise**2)
    return A, b, torch.exp(log - log.max())


def averaged(density: Tensor, *values: Tensor) -> Tensor:
    return torch.stack([(density * value).sum() for value in values]) / density.sum()


def mode(x, y, noise):
    A, b, density = on_grid(x, y, noise)
    i = density.argmax()
    return torch.stack([A.flatten()[i] * b.flatten()[i].cos(), A.flatten()[i] * b.flatten()[i].sin()])


def uniform_in_plane(x, y, noise):
    A, b, density = on_grid(x, y, noise)
    return averaged(density * A, A * b.cos(), A * b.sin())


def of_means(x, y, noise):
    A, b = averaged((found := on_grid(x, y, noise))[2], found[0], found[1])
    return torch.stack([A * b.cos(), A * b.sin()])


def means_of_amplitude_and_phase(x, y, noise):
    A, b, density = on_grid(x, y, noise)
    return averaged(density, A, b)


def least_squares(x: Tensor, y: Tensor, noise: float) -> Tensor:
    return torch.linalg.lstsq(torch.stack([torch.sin(x), torch.cos(x)], 1), y[:, None]).solution[:, 0]


def with_noise(change: Callable[[float, int], float]) -> Answer:
    return lambda x, y, noise: mean_of_posterior(x, y, change(noise, len(x)))


posterior_mean = Exercise(
    name="posterior_mean",
    doc="""Check f(x, y, noise) → (E[p], E[q]) given points [n] with normal noise, `noise` its standard deviation.

    p = A cos b, q = A sin b; A ~ U[0.1, 5], b ~ U[0, π]. A sum over a grid of midpoints is accurate enough (1e-4).
    """,
    case=noisy_case,
    oracle=mean_of_posterior,
    mistakes={
        "It is least squares: the prior has no part in it.": least_squares,
        "It is near the mode of the posterior, not its mean.": mode,
        "The prior looks uniform in the plane of p and q; its density there must be ∝ 1/A.": uniform_in_plane,
        "These are p and q of the mean amplitude and the mean phase; take the means of p and q themselves.": of_means,
        "These are the means of A and b; take those of p = A cos b and q = A sin b.": means_of_amplitude_and_phase,
        "σ is used in place of the variance σ².": with_noise(lambda noise, K: noise**0.5),
        "The 2 in exp(-r²/2σ²) is missing.": with_noise(lambda noise, K: noise / 2**0.5),
        "The squared residuals are averaged over the points; the log likelihood is their sum.": with_noise(
            lambda noise, K: noise * K**0.5
        ),
        "The phase runs over a whole turn; in the family it runs from 0 to π.": (
            lambda x, y, noise: mean_of_posterior(x, y, noise, SineTasks(phase=(0.0, 2 * math.pi)))
        ),
        "The points are not used: it is the prior's mean.": lambda x, y, noise: PRIOR,
    },
)


def linear(x: Tensor, y: Tensor, noise: float, mean: Tensor = PRIOR, variance: Tensor = VARIANCE) -> Tensor:
    """mean + C Xᵀ (X C Xᵀ + σ² I)⁻¹ (y - X mean), C the prior covariance of (p, q)."""
    X = torch.stack([torch.sin(x), torch.cos(x)], 1)
    gram = X * variance @ X.mT + noise**2 * torch.eye(len(x), dtype=x.dtype)
    return mean + variance * (X.mT @ torch.linalg.solve(gram, y - X @ mean))


def centred_twice(x, y, noise):
    return linear(x, y, noise) - PRIOR


linear_estimate = Exercise(
    name="linear_estimate",
    doc="""Check f(x, y, noise) → (p, q): the estimate with least squared error among those affine in y.

    The points [n] have noise of standard deviation `noise`; A ~ U[0.1, 5], b ~ U[0, π], so E[p] = 0, E[q] = (2/π) E[A].
    """,
    case=noisy_case,
    oracle=linear,
    mistakes={
        "It is least squares: the prior has no part in it.": least_squares,
        "The prior mean of q is taken to be 0; it is (2/π) E[A].": (
            lambda x, y, noise: linear(x, y, noise, mean=torch.zeros(2, dtype=torch.float64))
        ),
        "The variance of q is taken to be E[q²]: the square of its mean is not subtracted.": (
            lambda x, y, noise: linear(x, y, noise, variance=torch.full((2,), SQUARE / 2, dtype=torch.float64))
        ),
        "E[A]² is used in place of E[A²].": lambda x, y, noise: linear(
            x, y, noise, variance=VARIANCE + (((LOW + HIGH) / 2) ** 2 - SQUARE) / 2
        ),
        "The prior mean is not added back at the end.": centred_twice,
        "σ is used in place of the variance σ².": altered(linear, noise=lambda noise: noise**0.5),
        "It is the posterior mean, which is not linear in y.": mean_of_posterior,
        "The points are not used: it is the prior's mean.": lambda x, y, noise: PRIOR,
    },
)
