import pytest
import torch

from l2l import Method, SineTasks, adaptation_curve, init_params, maml
from l2l.evaluate import adam_loop


def naive_curve(theta, batch, optimizer, alpha, steps):
    """Fine-tune one network a task with torch.optim."""
    curves = []
    for x_s, y_s, x_q, y_q in zip(*batch[:4], strict=True):
        leaves = [p.clone().requires_grad_() for p in theta.values()]
        optimiser = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](leaves, lr=alpha)

        def error(x, y, leaves=leaves):
            for i in range(0, len(leaves), 2):
                x = x @ leaves[i] + leaves[i + 1]
                x = torch.relu(x) if i + 2 < len(leaves) else x
            return ((x - y) ** 2).mean()

        curve = []
        for _ in range(steps + 1):
            curve.append((error(x_s, y_s).item(), error(x_q, y_q).item()))
            optimiser.zero_grad()
            error(x_s, y_s).backward()
            optimiser.step()
        curves.append(curve)
    return torch.tensor(curves, dtype=torch.float64).permute(2, 1, 0)  # [2, steps+1, T]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_against_torch_optim_a_task_at_a_time(generator, optimizer):
    theta = init_params((1, 10, 8, 1), generator=generator, dtype=torch.float64)
    batch = SineTasks().sample(6, 5, 9, generator=generator, dtype=torch.float64)
    curve = adaptation_curve(theta, batch, alpha=0.02, steps=7, optimizer=optimizer)
    support, query = naive_curve(theta, batch, optimizer, 0.02, 7)
    assert curve.support.shape == curve.query.shape == (8, 6)
    torch.testing.assert_close(curve.support, support, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(curve.query, query, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_no_graph_is_kept_and_theta_is_left_alone(problem, optimizer):
    theta, batch = problem
    theta = {k: p.clone().requires_grad_() for k, p in theta.items()}
    before = {k: p.detach().clone() for k, p in theta.items()}
    curve = adaptation_curve(theta, batch, alpha=0.01, steps=3, optimizer=optimizer)
    assert not curve.support.requires_grad
    assert not curve.query.requires_grad
    assert all(torch.equal(before[k], theta[k]) for k in theta)


def test_alpha_zero_and_no_steps(problem):
    flat = adaptation_curve(*problem, alpha=0.0, steps=2).query
    torch.testing.assert_close(flat[0], flat[2])  # but for last bits, which depend on where in memory one begins
    assert adaptation_curve(*problem, alpha=0.1, steps=0).query.shape == (1, 3)


def test_divergence_is_infinite_and_never_nan(problem):
    theta, batch = problem
    curve = adaptation_curve({k: 10 * p for k, p in theta.items()}, batch, alpha=1e3, steps=60)
    assert curve.support[-1].isinf().all()
    assert curve.query[-1].isinf().all()
    assert not curve.query.isnan().any()
    assert curve.query[0].isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1.0, "steps": 1}, "alpha must be"),
        ({"alpha": 0.1, "steps": -1}, "steps must be"),
        ({"alpha": 0.1, "steps": 1, "optimizer": "lbfgs"}, "optimizer must be one of sgd, adam, got 'lbfgs'"),
        (
            {"alpha": 0.1, "steps": 1, "optimizer": "adam", "method": Method("own", maml, adam_loop)},
            "optimizer must be sgd for own, which has an inner loop of its own, got adam",
        ),
    ],
)
def test_bad_settings(problem, settings, message):
    with pytest.raises(ValueError, match=message):
        adaptation_curve(*problem, **settings)
