import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from l2l import Curve, confidence_interval
from l2l.plots import (
    METHOD_STYLE,
    plot_adaptation_curves,
    plot_gradient_norms,
    plot_half_axis_fit,
    plot_task,
    use_style,
)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    figure.canvas.draw()
    plt.close(figure)


def line(ax, label):
    return next(drawn for drawn in ax.get_lines() if drawn.get_label() == label)


def test_methods_differ_without_colour():
    assert len({style["linestyle"] for style in METHOD_STYLE.values()}) == len(METHOD_STYLE)
    assert len({style["color"] for style in METHOD_STYLE.values()}) == len(METHOD_STYLE)


def test_gradient_norms(ax):
    norms = torch.tensor([[1.0, 3.0], [4.0, 8.0], [5.0, 6.0]])
    plot_gradient_norms({"maml": {"iteration": torch.tensor([0, 10, 20]), "initial_gradient_norm": norms}}, ax)
    assert line(ax, "MAML").get_xdata().tolist() == [0, 10, 20]
    assert line(ax, "MAML").get_ydata().tolist() == [2.0, 6.0, 5.5]
    top = ax.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(6.0 + confidence_interval(norms[1])[1])


def test_one_seed_has_no_band(ax):
    plot_gradient_norms({"maml": {"iteration": [0, 1], "initial_gradient_norm": [[1.0], [2.0]]}}, ax)
    assert not ax.collections


def test_adaptation_curves_show_means_and_medians(ax):
    errors = np.array([[1.0, 2.0, 9.0], [0.1, 0.2, 6.0]])
    plot_adaptation_curves({"fomaml": torch.tensor(errors)}, ax, error="query")
    drawn = [d.get_ydata().tolist() for d in ax.get_lines()]
    assert drawn[0] == pytest.approx(errors.mean(axis=1))
    assert drawn[1] == pytest.approx([2.0, 0.2])
    assert ax.get_ylabel() == "mean squared query error"
    assert ax.get_yscale() == "log"


def test_a_curve_is_drawn_by_the_error_that_is_named(ax):
    curve = Curve(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]]))
    plot_adaptation_curves({"maml": curve}, ax, error="support", loss="cross_entropy")
    plot_adaptation_curves({"maml": curve}, ax, error="query")
    drawn = [line.get_ydata().tolist() for line in ax.get_lines()]
    assert drawn[0] == [1.0, 2.0]
    assert [3.0, 4.0] in drawn


@pytest.mark.parametrize(
    ("loss", "label"),
    [("mse", "mean squared support error"), ("cross_entropy", "support cross-entropy"), ("huber", "support huber")],
)
def test_the_axis_names_the_error(ax, loss, label):
    plot_adaptation_curves({"maml": np.ones((3, 2))}, ax, error="support", loss=loss)
    assert ax.get_ylabel() == label


def test_what_is_no_curve_is_refused(ax):
    errors = torch.ones(3, 4)
    for curves in ([errors, errors], (errors, errors), [Curve(errors, errors)], errors[0]):
        with pytest.raises(TypeError, match="curves must hold a Curve or an array"):
            plot_adaptation_curves({"maml": curves}, ax)
    with pytest.raises(TypeError, match="curves must map methods to curves, .* got a Curve"):
        plot_adaptation_curves(Curve(errors, errors), ax)
    with pytest.raises(TypeError, match="loss must be a name, for the axis, got a function"):
        plot_adaptation_curves({"maml": errors}, ax, loss=lambda outputs, y: 0)
    with pytest.raises(ValueError, match="error must be support or query"):
        plot_adaptation_curves({"maml": errors}, ax, error="test")


def test_intervals_are_over_replicas_where_there_are_several(ax):
    errors = np.random.default_rng(0).random((2, 3, 50))  # [steps+1, R, T]
    plot_adaptation_curves({"maml": errors}, ax)
    drawn = [d.get_ydata().tolist() for d in ax.get_lines()]
    assert drawn[0] == pytest.approx(errors.mean(axis=(1, 2)))
    assert drawn[1] == pytest.approx([np.median(errors[0]), np.median(errors[1])])
    top = ax.collections[0].get_paths()[0].vertices[:, 1].max()
    mean, half_width = confidence_interval(errors.mean(axis=2))
    assert top == pytest.approx((mean + half_width).max())


def test_task_and_half_axis_fit(ax):
    x = torch.linspace(-5, 5, 50)
    support = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.3])
    fits = {0: torch.zeros(50), 10: torch.sin(x), 1: x}
    plot_half_axis_fit(x, torch.sin(x), fits, support, ax, method="maml")
    labels = [d.get_label() for d in ax.get_lines()]
    assert labels == ["true function", "support points", "before adaptation", "after 1 step", "after 10 steps"]
    assert line(ax, "after 10 steps").get_ydata().tolist() == torch.sin(x).tolist()
    ax.clear()
    plot_task([0, 1], [2, 3], ax)
    assert line(ax, "true function").get_ydata().tolist() == [2, 3]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x$", "$y$")


def test_use_style():
    with plt.rc_context():
        use_style()
        assert plt.rcParams["figure.facecolor"] == "white"
