"""Functions that draw arrays on given Axes, in the house style: one colour and one line style for each method."""

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from l2l.stats import confidence_interval

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # since matplotlib 3.11


class LineStyle(TypedDict):
    """How a method is drawn, and what a legend calls it."""

    label: str
    color: str
    linestyle: str | tuple[int, tuple[int, ...]]


METHOD_STYLE: dict[str, LineStyle] = {
    "maml": {"label": "MAML", "color": "#0067b0", "linestyle": "-"},
    "fomaml": {"label": "FOMAML", "color": "#008a63", "linestyle": "--"},
    "pretrain": {"label": "pre-training", "color": "#d9660a", "linestyle": "-."},
    "reptile": {"label": "Reptile", "color": "#b5305f", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    "anil": {"label": "ANIL", "color": "#7a6a00", "linestyle": (0, (8, 2))},
    "meta-sgd": {"label": "Meta-SGD", "color": "#00808f", "linestyle": (0, (6, 2, 1, 2))},
    "untrained": {"label": "untrained", "color": "#7d4e9e", "linestyle": ":"},
}
"""Legible in print without colour, too: the line styles differ, and the markers of medians."""
MARKERS = {"maml": "o", "fomaml": "s", "pretrain": "^", "reptile": "v", "anil": "P", "meta-sgd": "X", "untrained": "D"}
OTHER_COLORS = ("#7a6a00", "#00808f", "#a0522d", "#5b5bd6", "#c2185b")
OTHER_DASHES = ((0, (8, 2)), (0, (1, 1)), (0, (6, 2, 1, 2)), (0, (3, 1)))
OTHER_MARKERS = "PXph*"
"""For methods that have no style of their own, in the order in which a figure shows them."""
TRUTH_STYLE: dict[str, Any] = {"color": "#8a8a8a", "linewidth": 3.5, "alpha": 0.6, "zorder": 1}
TRUTH_LABEL, MEDIANS_LABEL = "true function", "medians"
POINT_STYLE: dict[str, Any] = {"color": "#222222", "marker": "o", "linestyle": "", "markersize": 6, "zorder": 5}
HOUSE_STYLE: "dict[RcKeyType, Any]" = {
    "figure.figsize": (7.0, 3.8),
    "figure.dpi": 130,
    "savefig.dpi": 130,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 12,
    "axes.titlesize": 12,
    "legend.fontsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
}
ERROR_LABELS = {"mse": "mean squared {} error", "cross_entropy": "{} cross-entropy"}
BLACK, GREY, HAIRLINE = "black", "#b0b0b0", 0.8
TITLE = {"fontsize": HOUSE_STYLE["axes.titlesize"], "fontweight": "normal", "color": BLACK}
LEGEND = {"fontsize": HOUSE_STYLE["legend.fontsize"], "frameon": HOUSE_STYLE["legend.frameon"], "labelcolor": BLACK}
"""For titles and legends in a figure of `house_figure`, which would otherwise follow matplotlib's settings."""


def use_style() -> None:
    """Make the house style matplotlib's default, for this process."""
    mpl.rcParams.update(HOUSE_STYLE)


def house_figure(columns: int = 1, size: tuple[float, float] = HOUSE_STYLE["figure.figsize"]) -> tuple[Figure, list]:
    """Return a figure in the house style and its axes, side by side, without changing matplotlib's settings.

    The figure belongs to no window and no backend, so any thread may draw it; matplotlib's settings are shared by all
    threads.

    Args:
        columns: number of axes, which share their y axis.
        size: width and height, in inches.
    """
    style = HOUSE_STYLE
    figure = Figure(size, style["figure.dpi"], facecolor=style["figure.facecolor"], layout="constrained")
    axes = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    for ax in axes:
        ax.set(facecolor=style["figure.facecolor"], prop_cycle=cycler(linewidth=[style["lines.linewidth"]]))
        ax.spines[:].set(visible=True, color=BLACK, linewidth=HAIRLINE)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(which="both", color=BLACK, labelcolor=BLACK, labelsize=style["font.size"], direction="out")
        ax.grid(style["axes.grid"], color=GREY, alpha=style["grid.alpha"], linestyle="-", linewidth=HAIRLINE)
        for text in (ax.xaxis.label, ax.yaxis.label, ax.xaxis.offsetText, ax.yaxis.offsetText):
            text.set(fontsize=style["font.size"], color=BLACK)
    return figure, list(axes)


def method_style(method: str, ax: Axes) -> LineStyle:
    """Return label, colour and line style of a method.

    Args:
        method: a name in METHOD_STYLE, or any other, which is its own label and takes the next free style of `ax`.
        ax: where it is drawn.
    """
    return METHOD_STYLE.get(method) or {
        "label": method,
        "color": OTHER_COLORS[_place(method, ax) % len(OTHER_COLORS)],
        "linestyle": OTHER_DASHES[_place(method, ax) % len(OTHER_DASHES)],
    }


def _place(method: str, ax: Axes) -> int:
    """Return how many methods without a style of their own the axes show before this one."""
    house = {style["label"] for style in METHOD_STYLE.values()} | {TRUTH_LABEL, MEDIANS_LABEL}
    shown = [label for label in dict.fromkeys(str(line.get_label()) for line in ax.lines) if label not in house]
    shown = [label for label in shown if not label.startswith("_")]
    return shown.index(method) if method in shown else len(shown)


def plot_mean(x: ArrayLike, values: ArrayLike, ax: Axes, *, method: str) -> None:
    """Draw a mean and, if there are two values or more, its 95 % interval as a band.

    On a logarithmic axis a band that reaches zero ends at the edge of the picture.

    Args:
        x: [N].
        values: [N, R]; the mean is over the last axis.
        ax: where to draw.
        method: whose colour and line style to use: a name in METHOD_STYLE, or any other.
    """
    values, style = np.asarray(values), method_style(method, ax)
    if values.shape[-1] == 1:
        ax.plot(x, values[..., 0], **style)
        return
    mean, half_width = confidence_interval(values)
    ax.plot(x, mean, **style)
    ax.fill_between(x, mean - half_width, mean + half_width, color=style["color"], alpha=0.18, linewidth=0)


def plot_gradient_norms(histories: Mapping[str, Mapping], ax: Axes) -> None:
    """Draw the norm of the initial adaptation gradient through training, mean and 95 % interval over seeds.

    Args:
        histories: method → `Run.history`, or any mapping with `iteration` [logs] and `initial_gradient_norm` [logs, R].
        ax: where to draw.
    """
    for method, history in histories.items():
        plot_mean(history["iteration"], history["initial_gradient_norm"], ax, method=method)
    ax.set(xlabel="outer iteration", ylabel="norm of the initial\nadaptation gradient", ylim=(0, None))
    ax.legend()


def plot_adaptation_curves(
    curves: Mapping[str, ArrayLike | tuple], ax: Axes, *, error: str = "query", loss: str = "mse"
) -> None:
    """Draw the error against the number of adaptation steps: mean with 95 % interval, and median as hollow markers.

    Args:
        curves: method → a `Curve`, or one of its errors, [steps+1, T] of T tasks or [steps+1, R, T] of R replicas.
            Intervals are over replicas, whose tasks are the same, or over tasks if there is only one replica.
        ax: where to draw; its error axis becomes logarithmic.
        error: "query" or "support": which error is drawn, and named on the axis.
        loss: name of the loss, for the label of the error axis: "mse", "cross_entropy", or any other name.

    Raises:
        TypeError, ValueError: `curves` holds anything else, `loss` is not a string, or `error` is neither name.
    """
    if not isinstance(curves, Mapping):
        raise TypeError(f"curves must map methods to curves, such as {{'maml': curve}}, got a {type(curves).__name__}")
    if not isinstance(loss, str):
        raise TypeError(f"loss must be a name, for the axis, got a {type(loss).__name__}")
    if error not in ("support", "query"):
        raise ValueError(f"error must be support or query, got {error!r}")
    for method, curve in curves.items():
        style, values = method_style(method, ax), np.asarray(_errors(method, curve, error), dtype=float)
        values = values.reshape(len(values), -1, values.shape[-1])  # [steps+1, R, T]
        steps = np.arange(len(values))
        plot_mean(steps, values.mean(axis=2) if values.shape[1] > 1 else values[:, 0], ax, method=method)
        shape = MARKERS.get(method) or OTHER_MARKERS[_place(method, ax) % len(OTHER_MARKERS)]
        medians, size = np.median(values, axis=(1, 2)), 7 if method == "maml" else 4
        ax.plot(steps, medians, color=style["color"], linestyle="", marker=shape, markersize=size, mfc="white")
    ax.plot([], [], color="#555555", linestyle="", label=MEDIANS_LABEL, marker="o", markerfacecolor="white")
    label = ERROR_LABELS[loss].format(error) if loss in ERROR_LABELS else f"{error} {loss}"
    ax.set(xlabel="adaptation steps", ylabel=label, yscale="log")
    ax.locator_params(axis="x", integer=True)
    ax.legend()


def _errors(method: str, curve: ArrayLike | tuple, error: str) -> ArrayLike:
    """Return one error of a curve, or the array itself; refuse a list, whose axes would be taken for others."""
    errors = getattr(curve, error, curve)
    if isinstance(errors, list | tuple) or np.ndim(errors) not in (2, 3):
        got = f"a {type(errors).__name__}" if isinstance(errors, list | tuple) else f"shape {np.shape(errors)}"
        raise TypeError(f"curves must hold a Curve or an array [steps+1, T] or [steps+1, R, T], got {got} for {method}")
    return errors


def plot_task(x: ArrayLike, y: ArrayLike, ax: Axes, *, support: tuple[ArrayLike, ArrayLike] | None = None) -> None:
    """Draw a task: its true function over x, and its support points if they are given.

    Args:
        x, y: the function on a grid, [N] each, in the units of the task.
        ax: where to draw.
        support: (x, y) of the support points, [n] each.
    """
    ax.plot(x, y, label=TRUTH_LABEL, **TRUTH_STYLE)
    if support is not None:
        ax.plot(*support, label="support points", **POINT_STYLE)
    ax.set(xlabel="$x$", ylabel="$y$")


def plot_half_axis_fit(
    x: ArrayLike,
    y: ArrayLike,
    fits: Mapping[int, ArrayLike],
    support: tuple[ArrayLike, ArrayLike],
    ax: Axes,
    *,
    method: str,
) -> None:
    """Draw one task, its support points, and the network after several numbers of adaptation steps.

    Args:
        x, y: the true function on a grid, [N] each.
        fits: number of steps → the network's outputs on that grid, [N]; the first is drawn paler,
            and the lines go from dotted to solid.
        support: (x, y) of the support points, [n] each; the span that they cover is shaded.
        ax: where to draw.
        method: whose colour to use: a name in METHOD_STYLE, or any other.
    """
    style = method_style(method, ax)
    plot_task(x, y, ax, support=support)
    covered = np.asarray(support[0])
    ax.axvspan(covered.min(), covered.max(), color="#999999", alpha=0.15, linewidth=0)
    for i, (steps, outputs) in enumerate(sorted(fits.items())):
        label = "before adaptation" if steps == 0 else f"after {steps} step{'s' if steps > 1 else ''}"
        linestyle = (":", "--", "-")[round(2 * i / max(1, len(fits) - 1))]
        ax.plot(x, outputs, color=style["color"], linestyle=linestyle, label=label, alpha=0.55 + 0.45 * (i > 0))
    ax.set_title(style["label"])


def neutral_legend(ax: Axes) -> tuple[list, list[str]]:
    """Return handles and labels for one legend of several panels that differ in colour alone: their lines in grey.

    Args:
        ax: one of the panels, drawn by `plot_half_axis_fit`.
    """
    lines = [handle for handle in ax.get_legend_handles_labels()[0] if isinstance(handle, Line2D)]
    own = {TRUTH_STYLE["color"], POINT_STYLE["color"]}

    def grey(line: Line2D) -> Line2D:
        return Line2D([], [], color="#555555", linestyle=line.get_linestyle(), linewidth=line.get_linewidth())

    neutral = [line if line.get_color() in own else grey(line) for line in lines]
    return neutral, [str(line.get_label()) for line in lines]


def png_source(figure: Figure, *, dpi: int) -> str:
    """Return a figure as the source of an HTML image: a PNG in base64, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="auto", metadata={"Software": None})
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
