import math

import numpy as np
import pytest
import torch

from l2l import confidence_interval


def test_by_hand():
    # 1, 2, 3, 4: s² = 5/3; t(0.975, 3) = 3.182446 from a printed table
    mean, half_width = confidence_interval([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    assert half_width == pytest.approx(3.182446 * math.sqrt(5 / 3) / 2, rel=1e-6)


def test_last_axis_and_tensors():
    values = torch.arange(12.0).reshape(3, 4)
    mean, half_width = confidence_interval(values)
    assert mean.tolist() == [1.5, 5.5, 9.5]
    assert half_width == pytest.approx(confidence_interval(values[1])[1])


def test_covers_the_mean_as_often_as_it_says():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(20_000, 4))
    for level in (0.5, 0.95):
        mean, half_width = confidence_interval(values, level)
        assert np.mean(np.abs(mean - 3.0) < half_width) == pytest.approx(level, abs=0.015)


@pytest.mark.parametrize(("values", "level"), [([1.0], 0.95), (2.0, 0.95), ([1.0, 2.0], 1.0), ([1.0, 2.0], 0.0)])
def test_bad_values(values, level):
    with pytest.raises(ValueError, match="at least two|strictly between"):
        confidence_interval(values, level)
