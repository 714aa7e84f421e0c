"""The best learner, against brute force, least squares and its own promises."""

import numpy as np
import pytest
import torch

import l2l
from l2l.bayes import posterior, predicted


def by_brute_force(x, y, noise, family=l2l.SineTasks(), points=1500):  # noqa: B008 (frozen)
    """Mean and covariance of (p, q) by sums over a grid of amplitudes and phases, in numpy."""
    A, b = (low + (high - low) * (np.arange(points) + 0.5) / points for low, high in (family.amplitude, family.phase))
    A, b = A[:, None], b[None, :]
    log = sum(-((yj - A * np.sin(xj + b)) ** 2) / (2 * noise**2) for xj, yj in zip(x.ravel(), y.ravel(), strict=True))
    mass = np.exp(log - log.max())
    mass /= mass.sum()
    p, q = A * np.cos(b), A * np.sin(b)
    mean = np.array([(mass * p).sum(), (mass * q).sum()])
    centred = np.stack([p - mean[0], q - mean[1]])
    return mean, np.einsum("ab,iab,jab->ij", mass, centred, centred)


def tasks_of(noise, shots, tasks=4, seed=0):
    family = l2l.SineTasks(noise=noise)
    return family.sample(tasks, shots, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("shots", [1, 2, 5, 10])
def test_moments_agree_with_brute_force(noise, shots):
    batch = tasks_of(noise, shots)
    found = posterior(batch.x_support, batch.y_support, noise=noise)
    for i in range(4):
        mean, covariance = by_brute_force(batch.x_support[i].numpy(), batch.y_support[i].numpy(), noise)
        np.testing.assert_allclose(found.mean[i], mean, atol=2e-4)
        np.testing.assert_allclose(found.covariance[i], covariance, atol=5e-4)


@pytest.mark.parametrize("family", [l2l.SineTasks((1.0, 2.0), (-1.0, 5.0)), l2l.SineTasks((0.0, 3.0), (0.5, 0.9))])
def test_other_ranges_are_another_prior(family, generator):
    batch = family.sample(3, 2, 1, generator=generator, dtype=torch.float64)
    found = posterior(batch.x_support, batch.y_support, noise=0.7, family=family)
    for i in range(3):
        mean, _ = by_brute_force(batch.x_support[i].numpy(), batch.y_support[i].numpy(), 0.7, family)
        np.testing.assert_allclose(found.mean[i], mean, atol=2e-4)


@pytest.mark.parametrize("noise", [1e-3, 1e-5])
def test_little_noise_leaves_least_squares(noise):
    batch = l2l.SineTasks().sample(50, 10, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = posterior(batch.x_support, batch.y_support, noise=noise)
    p, q = batch.amplitude * batch.phase.cos(), batch.amplitude * batch.phase.sin()
    torch.testing.assert_close(found.mean, torch.stack([p, q], -1), rtol=0, atol=3 * noise)
    torch.testing.assert_close(predicted(found, batch.x_query), batch.y_query, rtol=0, atol=5 * noise)


def test_much_noise_leaves_the_prior():
    batch = tasks_of(1e4, 3)
    found = posterior(batch.x_support, batch.y_support, noise=1e4)
    expected = l2l.SineTasks().conditional_mean(batch.x_query)
    torch.testing.assert_close(predicted(found, batch.x_query), expected, rtol=0, atol=1e-2)


def test_it_promises_the_error_that_it_has():
    """The mean squared error over many tasks is the mean of the predictive variance."""
    noise = 0.5
    batch = tasks_of(noise, 3, tasks=4000, seed=2)
    found = posterior(batch.x_support, batch.y_support, noise=noise)
    true = batch.amplitude[:, None, None] * torch.sin(batch.x_query + batch.phase[:, None, None])
    error = (predicted(found, batch.x_query) - true).square().mean((1, 2))
    h = torch.cat([torch.sin(batch.x_query), torch.cos(batch.x_query)], -1)
    promised = torch.einsum("tqi,tij,tqj->tq", h, found.covariance, h).mean(1)
    gap = error - promised
    assert abs(gap.mean()) < 3 * gap.std() / len(gap) ** 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": 0.0}, "noise must be greater than 0"),
        ({"noise": -1.0}, "noise must be a finite number"),
        ({"y": torch.zeros(3, 1)}, r"x and y must both have shape \[..., n, 1\]"),
        ({"x": torch.zeros(0, 1), "y": torch.zeros(0, 1)}, "with n ≥ 1"),
        ({"family": l2l.SineTasks(amplitude=(1.0, 1.0))}, "ranges of positive width"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    given = {"x": torch.zeros(2, 1), "y": torch.zeros(2, 1), "noise": 0.1} | change
    with pytest.raises(ValueError, match=message):
        posterior(given.pop("x"), given.pop("y"), **given)
