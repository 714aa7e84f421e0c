import math

import pytest
import torch

from l2l import SineTasks
from l2l.tasks import HELD_OUT, META_TEST, TRAIN, stream

FAMILIES = [
    SineTasks(),
    SineTasks(phase=(0.0, 2 * math.pi)),
    SineTasks(amplitude=(2.0, 2.0), phase=(0.3, 0.3)),
    SineTasks(amplitude=(0.5, 3.0), phase=(-1.0, 0.7), x_range=(-2.0, 6.0)),
]


def test_shapes_ranges_and_function(generator):
    batch = SineTasks().sample(500, 6, 8, generator=generator, dtype=torch.float64)
    assert [tuple(field.shape) for field in batch] == [
        (500, 6, 1),
        (500, 6, 1),
        (500, 8, 1),
        (500, 8, 1),
        (500,),
        (500,),
    ]
    assert 0.1 <= batch.amplitude.min() < 0.2 < 4.9 < batch.amplitude.max() <= 5.0
    assert 0.0 <= batch.phase.min() < 0.05 < 3.1 < batch.phase.max() <= math.pi
    for x, y in ((batch.x_support, batch.y_support), (batch.x_query, batch.y_query)):
        assert -5 <= x.min() < -4.9 < 4.9 < x.max() <= 5
        for i in (0, 123, 499):
            expected = [batch.amplitude[i].item() * math.sin(v + batch.phase[i].item()) for v in x[i, :, 0].tolist()]
            assert y[i, :, 0].tolist() == pytest.approx(expected)


def test_support_range_leaves_query_alone(generator):
    batch = SineTasks().sample(200, 5, 5, generator=generator, support_range=(0, 5))
    assert batch.x_support.min() >= 0
    assert batch.x_query.min() < -4


def test_one_call_equals_many(generator):
    whole = SineTasks().sample(12, 5, 3, generator=torch.Generator().manual_seed(1))
    parts = torch.Generator().manual_seed(1)
    pieces = [SineTasks().sample(n, 5, 3, generator=parts) for n in (1, 4, 7)]
    for field, *split in zip(whole, *pieces, strict=True):
        assert torch.equal(field, torch.cat(split))


def test_every_dtype_has_the_same_tasks():
    single, double = (
        SineTasks().sample(5, 4, 3, generator=torch.Generator().manual_seed(2), dtype=dtype)
        for dtype in (torch.float32, torch.float64)
    )
    assert all(torch.equal(a, b.float()) for a, b in zip(single, double, strict=True))
    assert double.y_query.dtype == torch.float64


def test_streams_differ_and_global_state_is_untouched():
    before = torch.get_rng_state()
    draws = {
        torch.rand(1, generator=stream(purpose, s)).item() for purpose in (TRAIN, HELD_OUT, META_TEST) for s in (0, 1)
    }
    assert len(draws) == 6
    SineTasks().sample(3, 2, 2, generator=stream(TRAIN, 0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_closed_forms_against_monte_carlo(family):
    generator = torch.Generator().manual_seed(11)
    n = 400_000
    u = torch.rand(3, n, generator=generator, dtype=torch.float64)
    a = family.amplitude[0] + (family.amplitude[1] - family.amplitude[0]) * u[0]
    b = family.phase[0] + (family.phase[1] - family.phase[0]) * u[1]
    for x0 in (-1.7, 0.0, 2.9):
        y = a * torch.sin(x0 + b)
        error = 4 * y.std() / math.sqrt(n) + 1e-9
        assert abs(family.conditional_mean(torch.tensor(x0, dtype=torch.float64)) - y.mean()) < error
    x = family.x_range[0] + (family.x_range[1] - family.x_range[0]) * u[2]
    squares = (a * torch.sin(x + b) - family.conditional_mean(x)) ** 2
    assert abs(family.joint_mse_floor() - squares.mean()) < 4 * squares.std() / math.sqrt(n) + 1e-9


def test_closed_forms_by_hand():
    # phase range [0, pi], E[A] = 2.55: E[y|x] = (2/pi) 2.55 cos x
    x = torch.linspace(-5, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(SineTasks().conditional_mean(x), 2 / math.pi * 2.55 * torch.cos(x))
    # E[A^2]/2 - (2/pi E[A])^2 E[cos^2 x], with E[cos^2 x] = 1/2 + sin(10)/20
    by_hand = (0.1**2 + 0.5 + 25) / 3 / 2 - (2 / math.pi * 2.55) ** 2 * (0.5 + math.sin(10) / 20)
    assert SineTasks().joint_mse_floor() == pytest.approx(by_hand, abs=1e-12)
    assert round(SineTasks().joint_mse_floor(), 4) == 3.0057  # as its docstring says


@pytest.mark.parametrize(
    ("ranges", "error", "message"),
    [
        ({"amplitude": (5.0, 0.1)}, ValueError, "amplitude must satisfy low <= high"),
        ({"phase": (0.0, math.inf)}, ValueError, "phase must have finite bounds"),
        ({"x_range": (math.nan, 1.0)}, ValueError, "x_range must have finite bounds"),
        ({"phase": (0.0, 1.0, 2.0)}, TypeError, "phase must be a pair"),
        ({"amplitude": 3.0}, TypeError, "amplitude must be a pair"),
        ({"amplitude": "12"}, TypeError, "each bound of amplitude must be a number"),
        ({"amplitude": (True, 5.0)}, TypeError, "each bound of amplitude must be a number"),
        ({"x_range": (-1e308, 1e308)}, ValueError, "x_range must have finite bounds"),
    ],
)
def test_bad_ranges(ranges, error, message):
    with pytest.raises(error, match=message):
        SineTasks(**ranges)


@pytest.mark.parametrize("counts", [(0, 5, 5), (3, 0, 5), (3, 5, -1)])
def test_bad_counts(generator, counts):
    before = generator.get_state()
    with pytest.raises(ValueError, match="at least 1, got"):
        SineTasks().sample(*counts, generator=generator)
    with pytest.raises(TypeError, match="tasks must be a whole number, got 2.0"):
        SineTasks().sample(2.0, 5, 5, generator=generator)
    with pytest.raises(ValueError, match="support_range must satisfy"):
        SineTasks().sample(2, 5, 5, generator=generator, support_range=(5, 0))
    assert torch.equal(generator.get_state(), before)
