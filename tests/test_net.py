import math
import re

import pytest
import torch

from l2l import init_params, mlp, mse


def test_names_shapes_and_order(generator):
    params = init_params((1, 40, 30, 1), generator=generator)
    shapes = [(name, tuple(p.shape)) for name, p in params.items()]
    assert shapes == [("W1", (1, 40)), ("b1", (40,)), ("W2", (40, 30)), ("b2", (30,)), ("W3", (30, 1)), ("b3", (1,))]


def test_distribution_is_that_of_nn_linear(generator):
    params = init_params((300, 400), generator=generator, dtype=torch.float64)
    bound = 1 / math.sqrt(300)
    reference = torch.nn.Linear(300, 400)
    for ours, theirs in ((params["W1"], reference.weight), (params["b1"], reference.bias)):
        assert ours.abs().max() <= bound
        assert ours.abs().max() == pytest.approx(theirs.abs().max().item(), rel=0.02)
        assert ours.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert params["W1"].mean().abs() < 4 * bound / math.sqrt(3 * 300 * 400)


def test_equals_nn_sequential(generator):
    params = init_params((1, 8, 7, 2), generator=generator)
    linear = [torch.nn.Linear(1, 8), torch.nn.Linear(8, 7), torch.nn.Linear(7, 2)]
    for i, layer in enumerate(linear, start=1):
        layer.weight.data, layer.bias.data = params[f"W{i}"].T, params[f"b{i}"]
    net = torch.nn.Sequential(linear[0], torch.nn.ReLU(), linear[1], torch.nn.ReLU(), linear[2])
    x, y = torch.randn(9, 1, generator=generator), torch.randn(9, 2, generator=generator)
    torch.testing.assert_close(mlp(params, x), net(x))
    torch.testing.assert_close(mse(params, x, y), torch.nn.functional.mse_loss(net(x), y))


def test_generator_alone_decides(generator):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = init_params(generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), before)
    second = init_params(generator=torch.Generator().manual_seed(3))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ((1,), ValueError, "got (1,)"),
        ((1, 0, 1), ValueError, "sizes must be at least 1, got 0"),
        ((1, 2.5, 1), TypeError, "whole number, got 2.5"),
    ],
)
def test_bad_sizes(generator, sizes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        init_params(sizes, generator=generator)


def test_parameters_that_make_no_network_are_refused(generator):
    params = init_params((1, 4, 1), generator=generator)
    x = torch.zeros(5, 1)
    stacked = {name: torch.stack([p, p]) for name, p in params.items()}
    for bad in (params | {"b1": torch.zeros(1)}, params | {"W2": torch.zeros(3, 1)}, stacked):
        with pytest.raises(ValueError, match="params must have shapes"):
            mlp(bad, x)
    without = {name: p for name, p in params.items() if name != "b2"}  # one layer with a bias, one without
    for bad in ({}, {"b1": params["b1"]}, without, params | {"W3": params["W1"]}):
        with pytest.raises(ValueError, match="params must be named"):
            mlp(bad, x)
    with pytest.raises(TypeError, match="params must have one dtype"):
        mlp(params | {"b2": params["b2"].double()}, x)


def test_mismatches_are_refused(generator):
    params = init_params((1, 4, 1), generator=generator)
    x = torch.zeros(5, 1)
    with pytest.raises(ValueError, match="last axis, the network.s input width, got shape"):
        mlp(params, torch.zeros(5, 2))
    with pytest.raises(TypeError, match="one dtype, got torch.float64"):
        mlp(params, x.double())
    with pytest.raises(ValueError, match=re.escape("shape (5, 1), got (5,)")):
        mse(params, x, torch.zeros(5))
    with pytest.raises(TypeError, match="one dtype"):
        mse(params, x, x.double())
