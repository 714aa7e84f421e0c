"""A widget for notebooks with a live kernel: with `retrain` the reader trains again, with settings of their own.

Where no kernel runs, as in a page of the book, it shows a stored run with these settings and says how to train.
"""

import html
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from l2l.config import TrainConfig, part_name
from l2l.plots import LEGEND, METHOD_STYLE, house_figure, plot_adaptation_curves, plot_mean, png_source
from l2l.report import meta_test_batch, sines
from l2l.run import Run
from l2l.tasks import SineTasks
from l2l.training import COMPILE_FROM, train

TEST_TASKS = 200  # on which both panels measure
ADAPTATION_STEPS = 10  # that the right panel shows at least
POINTS = 25  # of a training curve
REDRAW_EVERY = 0.5  # seconds; drawing takes some 0.2 of them
STILL = "This is a still picture."
HOW_TO_RUN = (
    "To train with settings of your own, open the page in Jupyter or Colab, run its cells "
    "from the top down to this one, and press <b>Train</b>."
)


def retrain(
    methods: Sequence[str] = ("maml",),
    *,
    iterations: int = 1_000,
    task_family: SineTasks = SineTasks(),  # noqa: B008 (frozen)
    **settings: Any,
) -> "Retrain":
    """Train methods one after the other, with settings from sliders, and show how well each adapts.

    Both panels show the mean query error on the same unseen tasks: on the left after as many inner steps as in
    training, against the outer iteration; on the right after 0, 1, 2, … steps from the trained parameters. The previous
    result stays visible, in paler lines, for comparison.

    Args:
        methods: which to train, of "maml", "fomaml" and "pretrain".
        iterations: initial number of outer updates of each method.
        task_family: task family from which the controls start.
        settings: further fields of TrainConfig. Those that have a control set its initial value; the others are fixed.

    Returns:
        Retrain, a widget.

    Raises:
        TypeError, ValueError: a bad setting, as for TrainConfig; methods that repeat; more than one seed; or an alpha
            of 0, which has no place on a logarithmic slider.
    """
    return Retrain(methods, task_family, {"iterations": iterations} | settings)


@dataclass
class Trace:
    """What the panels show of one method."""

    run: Run
    """The run so far."""
    iterations: list[int] = field(default_factory=list)
    """Iterations at which the error was measured."""
    errors: list[float] = field(default_factory=list)
    """Mean query error after `config.steps` steps, at each of these."""
    curve: np.ndarray | None = None
    """Query errors [steps+1, 1, T] at the end; None while the method trains."""


class Stopped(Exception):
    """The reader pressed Stop."""


class Retrain(ipywidgets.VBox):
    """The widget that `retrain` returns. Displaying it does not start training.

    Until Train is pressed, the widget shows stored runs that come with the package, if there are some with its
    settings; a page without a kernel keeps that picture.

    Attributes:
        controls: name → slider or field: `alpha`, `steps`, `shots`, `amplitude`, `phase`, `iterations`, `seed`.
        train_button, stop_button: buttons.
        thread: the thread that trains; None until Train is first pressed.
    """

    def __init__(self, methods: Sequence[str], task_family: SineTasks, settings: Mapping):
        self._methods, self._family, self._given = tuple(methods), task_family, dict(settings)
        if not self._methods or len(set(self._methods)) < len(self._methods):
            raise ValueError(f"methods must be distinct and there must be at least one, got {methods!r}")
        start, *_ = (TrainConfig(**self._given, method=method) for method in self._methods)
        if len(start.seeds) > 1:
            raise ValueError(f"seeds must be one seed here, got {start.seeds}")
        if start.alpha == 0:
            raise ValueError("alpha must be above 0 here, where its slider is logarithmic, got 0")
        self.controls = _controls(start, task_family)
        self.train_button = ipywidgets.Button(description="Train", icon="play", button_style="primary")
        self.stop_button = ipywidgets.Button(description="Stop", icon="stop", disabled=True)
        self.train_button.on_click(self._start)
        self.stop_button.on_click(self._ask_to_stop)
        self._bar, self._message, self._picture = ipywidgets.IntProgress(), ipywidgets.HTML(), ipywidgets.HTML()
        self._before: dict[str, Trace] = {}
        self._now: dict[str, Trace] = {}
        self.thread: threading.Thread | None = None
        self._stop, self._drawn_at = threading.Event(), -math.inf
        columns = ipywidgets.Layout(grid_template_columns="repeat(auto-fit, minmax(22em, 1fr))")
        row = [self.train_button, self.stop_button, self._bar]
        super().__init__(
            [
                ipywidgets.GridBox(list(self.controls.values()), layout=columns),
                ipywidgets.HBox(row, layout=ipywidgets.Layout(flex_flow="row wrap")),
                self._message,
                self._picture,
            ]
        )

    @property
    def runs(self) -> dict[str, Run]:
        """Method → Run of the last training, as `train` returns it; incomplete while it trains or if it was stopped."""
        return {method: trace.run for method, trace in self._now.items()}

    def settings(self) -> tuple[list[TrainConfig], SineTasks]:
        """Return what the controls ask for: the config of each method, and the family of tasks.

        Raises:
            TypeError, ValueError: a value out of range.
        """
        value = {name: control.value for name, control in self.controls.items()}
        middle, width = sum(self._family.phase) / 2, value["phase"] * math.pi
        family = replace(
            self._family,
            amplitude=(self._family.amplitude[0], value["amplitude"]),
            phase=(middle - width / 2, middle + width / 2),
        )
        chosen = {name: value[name] for name in ("alpha", "steps", "shots", "iterations")} | {"seeds": (value["seed"],)}
        often = {"log_every": max(1, value["iterations"] // POINTS)}  # which does not change the result
        return [TrainConfig(**often | self._given | chosen | {"method": method}) for method in self._methods], family

    def _start(self, _button: object) -> None:
        if self.train_button.disabled:  # a press on its way while the button was being switched off
            return
        try:
            configs, family = self.settings()
        except (TypeError, ValueError) as error:
            self._say(f"Not trained: {error}.")
            return
        self._before, self._now = self._now or self._before, {}
        self._stop.clear()
        self.train_button.disabled, self.stop_button.disabled = True, False
        self.thread = threading.Thread(target=self._work, args=(configs, family), daemon=True)
        self.thread.start()

    def _ask_to_stop(self, _button: object) -> None:
        self._stop.set()
        self.stop_button.disabled = True

    def _work(self, configs: Sequence[TrainConfig], family: SineTasks) -> None:
        """Train all methods; show and keep what there is, however it ends."""
        self._bar.value, self._bar.max = 0, sum(config.iterations for config in configs)
        ending = ""
        try:
            for config in configs:
                self._train(config, family)
        except Stopped:
            ending = "Stopped. "
        except Exception as error:  # nobody would read it in the traceback of a thread
            ending = f"Ended early: {error if isinstance(error, FloatingPointError) else repr(error)}. "
        try:
            if self._before or self._now:
                self._draw(self._before, self._now)
            self._say(ending + summary(self._now))
        finally:
            self.train_button.disabled, self.stop_button.disabled = False, True

    def _train(self, config: TrainConfig, family: SineTasks) -> None:
        method, done = part_name(config.method), self._bar.value
        label = METHOD_STYLE[method]["label"]

        def look(run: Run) -> None:
            trace = self._now.setdefault(method, Trace(run))
            trace.run = run
            trace.iterations.append(run.iteration)
            trace.errors.append(query_errors(run, config.steps)[-1].mean())
            self._bar.value = done + run.iteration
            now = f"iteration {run.iteration:,} of {config.iterations:,}."
            if run.iteration == 0 and config.iterations >= COMPILE_FROM:
                now = "compiling, which takes 10 to 30 seconds the first time; Stop takes effect after that."
            self._say(f"{label}: {now}")
            if time.monotonic() - self._drawn_at >= REDRAW_EVERY:
                self._draw(self._before, self._now)
            if self._stop.is_set():
                raise Stopped

        try:
            train(config, family, progress=look)
        finally:
            if method in self._now:
                trace = self._now[method]
                trace.curve = query_errors(trace.run, max(ADAPTATION_STEPS, config.steps))

    def _say(self, sentence: str) -> None:
        self._message.value = html.escape(sentence)

    def _draw(self, before: Mapping[str, Trace], now: Mapping[str, Trace]) -> None:
        alt = (
            "Two panels with the query error on a logarithmic axis: on the left against the outer iteration, on the "
            f"right, after training, against the number of adaptation steps. {summary(now)}"
        )
        source = png_source(panels(before, now), dpi=100)
        self._picture.value = f'<img alt="{html.escape(alt)}" src="{source}" style="max-width: 100%">'
        self._drawn_at = time.monotonic()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict:
        if self.thread is None and not self._picture.value and (stored := stored_traces(*self.settings())):
            self._draw({}, stored)
            self._say(summary(stored))
        still = f"{self._message.value} {STILL} " if self._picture.value else ""
        figure = f"<figure>{self._picture.value}<figcaption>{still}{HOW_TO_RUN}</figcaption></figure>"
        bundle = {"text/plain": "A widget to train with", "text/html": figure}
        return (super()._repr_mimebundle_(**kwargs) or {}) | bundle


def summary(traces: Mapping[str, Trace]) -> str:
    """Return a sentence that says how well each method whose training has ended adapts."""
    ended = [(METHOD_STYLE[m]["label"], t.run, t.curve) for m, t in traces.items() if t.curve is not None]
    if not ended:
        return ""
    steps = len(ended[0][2]) - 1
    text = "; ".join(
        f"{name} ({run.iteration:,} iterations) mean {curve[-1].mean():.3g}, median {np.median(curve[-1]):.3g}"
        for name, run, curve in ended
    ).replace("inf", "∞")
    return f"Query error after {steps} adaptation steps, on {TEST_TASKS} unseen tasks: {text}."


def panels(before: Mapping[str, Trace], now: Mapping[str, Trace]) -> Figure:
    """Draw the two panels, with the previous result in paler lines."""
    figure, (left, right) = house_figure(2, (8, 3.8))
    for traces in filter(None, (before, now)):
        for method, trace in traces.items():
            plot_mean(trace.iterations, np.array(trace.errors)[:, None], left, method=method)
        plot_adaptation_curves({m: t.curve for m, t in traces.items() if t.curve is not None}, right)
        right.get_legend().remove()
        if traces is before:
            for artist in (*left.lines, *right.lines, *right.collections):
                artist.set(alpha=0.3 * (artist.get_alpha() or 1), label="_before")
            left.plot([], [], color="#555555", alpha=0.3, label="previous result")
    left.set(xlabel="outer iteration", ylabel="mean squared query error\nafter the inner steps")
    amplitudes = [sines(t.run).amplitude[1] for t in (*before.values(), *now.values())]
    worst = (2 * max(amplitudes)) ** 2  # of outputs from -A to A
    left.set_ylim(top=min(left.get_ylim()[1], worst))  # where steps diverge, lines leave the panel
    labelled = [zip(*ax.get_legend_handles_labels(), strict=True) for ax in (left, right)]
    legend = {label: handle for pairs in labelled for handle, label in pairs}
    figure.legend(legend.values(), legend.keys(), loc="outside upper center", ncols=5, **LEGEND)
    return figure


def stored_traces(configs: Sequence[TrainConfig], family: SineTasks) -> dict[str, Trace]:
    """Return the traces of stored runs with these settings, up to that many iterations; {} if a run has others."""
    traces: dict[str, Trace] = {}
    for config in configs:
        method = part_name(config.method)
        run = Run.stored(method)
        longer = {name: getattr(run.config, name) for name in ("iterations", "log_every", "checkpoint_at")}
        if replace(config, **longer) != run.config or family != run.task_family:
            return {}
        short = [replace(run, theta=p, iteration=i) for i, p in run.checkpoints.items() if i <= config.iterations]
        errors = [query_errors(part, config.steps)[-1].mean() for part in short]
        curve = query_errors(short[-1], max(ADAPTATION_STEPS, config.steps))
        traces[method] = Trace(short[-1], [part.iteration for part in short], errors, curve)
    return traces


def query_errors(run: Run, steps: int) -> np.ndarray:
    """Return the query errors [steps+1, 1, T] of a run of one seed, on tasks that no training saw."""
    batch = meta_test_batch(run, TEST_TASKS, run.config.shots)
    return run.adaptation_curve(batch, steps=steps).query.numpy()


def _controls(start: TrainConfig, family: SineTasks) -> dict[str, ipywidgets.DOMWidget]:
    """Return a control for each setting, starting at its given value, with a range that includes the value."""
    amplitude, width = family.amplitude[1], (family.phase[1] - family.phase[0]) / math.pi
    if not isinstance(start.alpha, float):
        raise TypeError(f"alpha must be a single rate here, because it is set by a slider, got {start.alpha}")
    log_alpha = math.log10(start.alpha)
    of: dict[str, tuple[type, str, Any, dict]] = {
        "alpha": (
            ipywidgets.FloatLogSlider,
            "inner step size α",
            start.alpha,
            {"min": min(-4, log_alpha), "max": max(0, log_alpha), "step": 0.05},
        ),
        "steps": (ipywidgets.IntSlider, "inner steps", start.steps, {"max": max(10, start.steps)}),
        "shots": (ipywidgets.IntSlider, "shots n", start.shots, {"min": 1, "max": max(40, start.shots)}),
        "amplitude": (
            ipywidgets.FloatSlider,
            "largest amplitude",
            amplitude,
            {"min": family.amplitude[0], "max": max(10, amplitude), "step": 0.1},
        ),
        "phase": (ipywidgets.FloatSlider, "phase width / π", width, {"max": max(2, width), "step": 0.01}),
        "iterations": (ipywidgets.IntText, "iterations", start.iterations, {}),
        "seed": (ipywidgets.IntText, "seed", start.seeds[0], {}),
    }
    return {
        name: kind(value, description=text, style={"description_width": "9em"}, layout={"width": "21em"}, **bounds)
        for name, (kind, text, value, bounds) in of.items()
    }
