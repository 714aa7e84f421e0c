"""The widgets, driven without a browser: values are set, buttons clicked, the thread waited for."""

import math
import re
import threading
from dataclasses import asdict, replace

import ipywidgets
import matplotlib as mpl
import numpy as np
import pytest
import torch
from conftest import PATIENCE
from matplotlib.figure import Figure

import l2l.widgets
from l2l import Run, SineTasks, TrainConfig, train
from l2l.plots import METHOD_STYLE
from l2l.widgets import retrain

WAIT = PATIENCE / 1000
SMALL = {"iterations": 60, "tasks": 4, "shots": 5, "query": 6, "sizes": (1, 8, 1)}


@pytest.fixture
def drawn(monkeypatch):
    """The figures drawn, in order."""
    figures, savefig = [], Figure.savefig

    def keep(self, *args, **kwargs):
        figures.append(self)
        savefig(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def press(widget):
    widget.train_button.click()
    widget.thread.join(WAIT)
    assert not widget.train_button.disabled
    assert widget.stop_button.disabled


def message(widget):
    return widget.children[2].value


def bar(widget):
    return widget.children[1].children[2]


def interactive(widget):
    """Every slider and field in the tree that is shown."""
    for child in getattr(widget, "children", ()):
        yield from interactive(child)
    if hasattr(widget, "value") and not isinstance(widget, ipywidgets.HTML | ipywidgets.IntProgress):
        yield widget


@pytest.mark.parametrize("methods", [("maml",), ("maml", "fomaml", "pretrain")])
def test_it_trains_as_train_does_bit_for_bit(methods):
    widget = retrain(methods, **SMALL, beta=2e-3, task_family=SineTasks(x_range=(-3, 4)))
    changed = {"alpha": 0.03, "steps": 2, "shots": 7, "amplitude": 3.0, "phase": 0.5, "iterations": 70, "seed": 4}
    for name, value in changed.items():
        widget.controls[name].value = value
    press(widget)
    family = SineTasks(amplitude=(0.1, 3.0), phase=(math.pi / 4, 3 * math.pi / 4), x_range=(-3, 4))
    expected = {"beta": 2e-3, "alpha": 0.03, "steps": 2, "shots": 7, "iterations": 70, "seeds": (4,)}
    assert list(widget.runs) == list(methods)
    for method, run in widget.runs.items():
        other = train(TrainConfig(**SMALL | expected, method=method), family)
        assert run.task_family == family
        assert run.iteration == 70
        assert replace(run.config, log_every=other.config.log_every) == other.config
        assert all(torch.equal(run.theta[k], other.theta[k]) for k in other.theta)
        assert torch.equal(run.history["loss"][-1], other.history["loss"][-1])
    assert bar(widget).value == bar(widget).max == 70 * len(methods)


def test_controls_begin_at_the_defaults_and_their_ranges_hold_what_is_given():
    configs, family = retrain(("maml", "pretrain")).settings()
    for method, config in zip(("maml", "pretrain"), configs, strict=True):
        assert config == TrainConfig(method=method, iterations=1_000, log_every=config.log_every)
    assert family == SineTasks()
    far = {"alpha": 3.0, "steps": 30, "shots": 200, "iterations": 10**6, "seeds": (2**31,), "log_every": 7}
    wide = SineTasks(amplitude=(-20.0, 30.0), phase=(-3 * math.pi, 3 * math.pi))
    (config,), family = retrain(**far, task_family=wide).settings()
    assert config == TrainConfig(**far)
    assert family == wide
    (config,), _ = retrain(alpha=1e-7).settings()
    assert config.alpha == 1e-7


REACHES = {
    "alpha": ("alpha", 0.002),
    "steps": ("steps", 3),
    "shots": ("shots", 9),
    "iterations": ("iterations", 80),
    "seed": ("seeds", 5),
    "amplitude": ("amplitude", 1.5),
    "phase": ("phase", 0.25),
}


def test_every_control_shown_is_known():
    widget = retrain(**SMALL)
    assert set(interactive(widget)) == set(widget.controls.values())
    assert widget.controls.keys() == REACHES.keys()
    assert len({control.description for control in widget.controls.values()}) == len(REACHES)
    assert all(control.description for control in widget.controls.values())
    assert all(getattr(control, "readout", True) for control in widget.controls.values())


@pytest.mark.parametrize("name", REACHES)
def test_every_control_reaches_training_and_nothing_else(monkeypatch, name):
    asked = []

    def spy(config, family, progress):
        asked.append(asdict(config) | asdict(family))

    monkeypatch.setattr(l2l.widgets, "train", spy)
    widget, (field, value) = retrain(**SMALL), REACHES[name]
    press(widget)
    widget.controls[name].value = value
    press(widget)
    before, after = asked
    assert {key for key in after if before[key] != after[key]} - {"log_every"} == {field}
    expected = {
        "seed": (5,),
        "amplitude": (0.1, 1.5),
        "phase": pytest.approx((0.375 * math.pi, 0.625 * math.pi)),
    }.get(name, value)
    assert after[field] == expected


def held(monkeypatch, at):
    """Make training wait at an iteration, until the test lets it go on: (reached, go)."""
    reached, go = threading.Event(), threading.Event()

    def slow(config, family, progress):
        def report(run):
            if run.iteration == at:
                reached.set()
                assert go.wait(WAIT)
            progress(run)

        return train(config, family, progress=report)

    monkeypatch.setattr(l2l.widgets, "train", slow)
    return reached, go


def test_stop_stops_and_keeps_what_is_there(monkeypatch):
    reached, go = held(monkeypatch, 100)
    widget = retrain(("maml", "pretrain"), **SMALL | {"iterations": 500})
    widget.train_button.click()
    assert reached.wait(WAIT)
    first = widget.thread
    assert widget.train_button.disabled
    assert not widget.stop_button.disabled
    widget.train_button.click()  # does nothing: it is off
    assert widget.thread is first
    assert "MAML: iteration 80 of 500." in message(widget)
    widget.stop_button.click()
    go.set()
    first.join(WAIT)
    assert list(widget.runs) == ["maml"]  # the second did not begin
    assert widget.runs["maml"].iteration == 100
    assert message(widget).startswith("Stopped. Query error after 10 adaptation steps")
    assert "MAML (100 iterations)" in message(widget)
    alone = train(TrainConfig(**SMALL | {"iterations": 500, "checkpoint_at": (100,)})).checkpoints[100]
    assert all(torch.equal(p, alone[k]) for k, p in widget.runs["maml"].theta.items())
    widget.controls["iterations"].value = 40
    press(widget)  # a stop does not linger
    assert widget.runs["pretrain"].iteration == 40


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("iterations", 0, "Not trained: iterations must be at least 1, got 0."),
        ("iterations", -50, "Not trained: iterations must be at least 1, got -50."),
        ("seed", -1, "Not trained: each of seeds must be at least 0, got -1."),
        ("seed", 2**32, "Not trained: seeds must be below 2**32, got 4294967296."),
    ],
)
def test_a_bad_value_gives_a_sentence_and_no_work(monkeypatch, name, value, sentence):
    widget = retrain(**SMALL)
    press(widget)
    runs, thread = widget.runs, widget.thread
    monkeypatch.setattr(l2l.widgets, "train", None)
    widget.controls[name].value = value
    widget.train_button.click()
    assert message(widget) == sentence
    assert widget.thread is thread
    assert widget.runs == runs
    assert not widget.train_button.disabled


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"methods": ()}, ValueError, r"methods must be distinct and there must be at least one, got \(\)"),
        ({"methods": ("maml", "maml")}, ValueError, "methods must be distinct"),
        ({"methods": ("maml", "reptile")}, ValueError, "method must be one of .* or a Method, got 'reptile'"),
        ({"method": "maml"}, TypeError, "method"),
        ({"iterations": 0}, ValueError, "iterations must be at least 1, got 0"),
        ({"alpha": 0.0}, ValueError, "alpha must be above 0 here"),
        ({"seeds": (0, 1)}, ValueError, r"seeds must be one seed here, got \(0, 1\)"),
        ({"learning_rate": 0.1}, TypeError, "learning_rate"),
    ],
)
def test_bad_arguments(arguments, error, text):
    with pytest.raises(error, match=text):
        retrain(**arguments)


def test_divergence_is_said_and_the_widget_goes_on(monkeypatch):
    widget = retrain(("maml", "fomaml"), **SMALL | {"iterations": 50}, beta=1e39)
    press(widget)
    assert message(widget).startswith("Ended early: training diverged at iteration 2, seed 0: ")
    assert widget.runs["maml"].iteration == 0

    def broken(config, family, progress):
        raise RuntimeError("<out of memory>")

    monkeypatch.setattr(l2l.widgets, "train", broken)
    press(widget)
    assert message(widget) == "Ended early: RuntimeError(&#x27;&lt;out of memory&gt;&#x27;). "
    assert widget.runs == {}


def test_errors_that_overflow_are_drawn_and_named(drawn):
    widget = retrain(("pretrain",), **SMALL, task_family=SineTasks(amplitude=(5.0, 5.0)))
    widget.controls["alpha"].value = 1.0
    press(widget)
    assert "mean ∞" in message(widget)
    assert drawn[-1].axes[1].get_ylim()[1] <= 100  # (2 A)²


def lines(figure, pale, panel=0):
    """Label or None of the lines with data in a panel, and their points."""
    for line in figure.axes[panel].get_lines():
        if len(line.get_xdata()) and line.get_linestyle() != "None" and (line.get_alpha() == 0.3) is pale:
            yield line


def test_the_panels_show_the_errors_of_the_run_and_agree_with_each_other(drawn):
    widget = retrain(("maml", "pretrain"), **SMALL, steps=2)
    press(widget)
    left, right = ([line.get_ydata() for line in lines(drawn[-1], False, panel)] for panel in (0, 1))
    for method, growth, end in zip(widget.runs, left, right, strict=True):
        expected = l2l.widgets.query_errors(widget.runs[method], 10).mean(axis=(1, 2))
        assert end == pytest.approx(expected)
        assert growth[-1] == pytest.approx(end[2])  # after as many steps as in training
        assert len(growth) > 20
    colours = [line.get_color() for line in lines(drawn[-1], False)]
    assert colours == [METHOD_STYLE[method]["color"] for method in widget.runs]
    assert list(lines(drawn[-1], True)) == []
    assert f"{right[0][-1]:.3g}" in message(widget)


def test_the_curve_grows_while_it_trains(monkeypatch, drawn):
    monkeypatch.setattr(l2l.widgets, "REDRAW_EVERY", 0.0)
    monkeypatch.setattr(l2l.widgets, "POINTS", 5)
    press(retrain(**SMALL))
    lengths = [len(next(lines(figure, False)).get_xdata()) for figure in drawn]
    assert lengths == [1, 2, 3, 4, 5, 6, 6]
    assert not list(lines(drawn[-2], False, panel=1))  # adaptation is drawn at the end
    assert list(lines(drawn[-1], False, panel=1))


def test_a_second_press_keeps_the_first_result_pale(drawn):
    widget = retrain(**SMALL)
    press(widget)
    first = [next(lines(drawn[-1], False, panel)).get_ydata() for panel in (0, 1)]
    widget.controls["alpha"].value = 0.05
    press(widget)
    for panel in (0, 1):
        (pale,), (strong,) = (list(lines(drawn[-1], kind, panel)) for kind in (True, False))
        assert np.array_equal(pale.get_ydata(), first[panel])
        assert not np.array_equal(strong.get_ydata(), first[panel])
    labels = [text.get_text() for text in drawn[-1].legends[0].get_texts()]
    assert labels == ["previous result", "MAML", "medians"]
    second = next(lines(drawn[-1], False)).get_ydata()
    press(widget)
    assert np.array_equal(next(lines(drawn[-1], True)).get_ydata(), second)  # and no older one


@pytest.fixture
def training_is_an_error(monkeypatch):
    monkeypatch.setattr(l2l.widgets, "train", None)


@pytest.mark.usefixtures("training_is_an_error")
def test_the_still_is_the_stored_run_with_a_description_and_one_way_to_run_it(drawn):
    widget = retrain(("maml", "fomaml"), iterations=1_700)
    bundle = widget._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    still = bundle["text/html"]
    assert re.search(r'<img alt="Two panels [^"]{40,}" src="data:image/png;base64,iVBOR[^"]{5000,}"', still)
    for line, end, method in zip(lines(drawn[0], False), lines(drawn[0], False, 1), ("maml", "fomaml"), strict=True):
        stored = Run.stored(method)
        for i, error in zip((0, 100, 500, 1_000), line.get_ydata(), strict=True):  # those up to 1,700
            at = replace(stored, theta=stored.checkpoints[i])
            assert error == pytest.approx(l2l.widgets.query_errors(at, 1)[1].mean())
        assert list(line.get_xdata()) == [0, 100, 500, 1_000]
        assert end.get_ydata() == pytest.approx(l2l.widgets.query_errors(at, 10).mean(axis=(1, 2)))
    assert "MAML (1,000 iterations)" in still
    assert "FOMAML (1,000 iterations)" in still
    assert "This is a still picture." in still
    assert "open the page in Jupyter or Colab" in still
    assert "press <b>Train</b>" in still
    assert " at 0x" not in bundle["text/plain"]
    assert widget._repr_mimebundle_()["text/html"] == still
    assert len(drawn) == 1, "made once"
    again = retrain(("maml", "fomaml"), iterations=1_700)._repr_mimebundle_()
    assert again["text/html"] == still  # the same bytes, so that a notebook run again stays as it is
    assert widget.runs == {}


@pytest.mark.usefixtures("training_is_an_error")
@pytest.mark.parametrize(
    "others", [{"alpha": 0.02}, {"shots": 5}, {"seeds": (1,)}, {"task_family": SineTasks(amplitude=(0.1, 4.0))}]
)
def test_without_a_stored_run_of_its_settings_a_widget_that_is_shown_has_no_picture(others):
    still = retrain(("maml", "pretrain"), **others)._repr_mimebundle_()["text/html"]
    assert "<img" not in still
    assert "still picture" not in still
    assert "press <b>Train</b>" in still


def test_the_still_is_kept_for_no_comparison(drawn):
    widget = retrain()
    widget._repr_mimebundle_()
    widget.controls["iterations"].value = 5
    press(widget)
    assert list(lines(drawn[-1], True)) == []
    assert "MAML (5 iterations)" in widget._repr_mimebundle_()["text/html"]


def test_it_leaves_matplotlib_as_it_was():
    with mpl.rc_context({"font.size": 7.5, "axes.grid": False}):
        before = dict(mpl.rcParams)
        press(retrain(**SMALL))
        assert dict(mpl.rcParams) == before
