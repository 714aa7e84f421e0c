"""Explorers: pictures that compute in the page itself, in a book, JupyterLab or Colab alike, with no kernel.

The page restates this package's mathematics in plain JavaScript (the files in `l2l/js`), which the tests compare with
torch. Each explorer is one piece of HTML that holds all it needs: nothing is loaded from anywhere.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from l2l.config import TrainConfig
from l2l.net import Params, flatten
from l2l.plots import (
    HOUSE_STYLE,
    MARKERS,
    METHOD_STYLE,
    POINT_STYLE,
    TRUTH_STYLE,
    neutral_legend,
    plot_adaptation_curves,
    plot_gradient_norms,
    plot_half_axis_fit,
    png_source,
)
from l2l.report import HALF_AXIS_TASK, half_axis_fit, half_axis_points, meta_test, meta_test_batch
from l2l.run import Run
from l2l.tasks import HELD_OUT, META_TEST, TRAIN, SineTasks, stream
from l2l.workers import HELD_OUT_TASKS

SEEDS = range(10)  # that the page offers for training
TEST_TASKS = 50
DASHES = {"-": "", "--": "8 4", "-.": "9 3 2 3", ":": "2 3"}


class Explorer:
    """A piece of HTML that shows itself in a notebook; without JavaScript, a still picture and a sentence.

    Attributes:
        html: the whole of it, self-contained.
    """

    def __init__(self, kind: str, scripts: tuple[str, ...], settings: dict, figure: Figure, alt: str):
        build = f"build{kind.capitalize()}(root, panel, {_literal(settings)})"
        start = f"mount({json.dumps(kind)}, (root, panel) => {build});"
        self.html = (
            f'<div class="l2l-explorer" data-kind="{kind}">\n<style>\n{_source("explorer.css")}</style>\n'
            f'<figure class="l2l-still"><img alt="{alt}" src="{png_source(figure, dpi=90)}">'
            "<figcaption>A still picture. Where JavaScript runs, you can move everything in it.</figcaption></figure>\n"
            f"<script>\n(() => {{\n{''.join(map(_source, ('ui.js', *scripts)))}{start}\n}})();\n</script>\n</div>"
        )

        self._kind = kind
        plt.close(figure)

    def __repr__(self) -> str:
        return f"<explorer {self._kind!r}>"

    def _repr_html_(self) -> str:
        return self.html


def adapt(runs: Mapping[str, Run] | None = None, *, compact: bool = False) -> Explorer:
    """Explore adaptation: drag the support points, step by step, at every stage of meta-training.

    The page takes up to 50 steps θ^(k) = θ^(k-1) - α ∇L(θ^(k-1); support) in double precision.

    Args:
        runs: method → a run with checkpoints, whose first replica is shown; all of one seed, network and task
            family. The package's own if not given: seed 0, 70,000 iterations.
        compact: leave out all but the points, the steps and the presets, and keep the last parameters only.

    Returns:
        Explorer.

    Raises:
        ValueError: no runs, unknown methods, or runs that do not start from the same parameters.
    """
    runs = shipped_runs() if runs is None else dict(runs)
    _check_runs(runs)
    first = next(iter(runs.values()))
    iterations = sorted(set.intersection(*({*run.checkpoints, run.iteration} for run in runs.values())) | {0})
    iterations = [0, iterations[-1]] if compact else iterations
    weights = {"untrained": _encoded(first.checkpoints[0])} | {
        method: {i: _encoded(run.theta if i == run.iteration else run.checkpoints[i]) for i in iterations if i}
        for method, run in runs.items()
    }
    settings = {
        "sizes": first.config.sizes,
        "weights": weights,
        "iterations": iterations,
        "styles": _styles(*runs, "untrained", "truth"),
        "presets": PRESETS[:3] if compact else PRESETS,
        "compact": compact,
        "family": asdict(first.task_family),
        "provenance": _provenance(runs),
    }
    shown = (0, 1) if compact else (0, 1, 10)
    with plt.rc_context(HOUSE_STYLE):
        drawn = {"untrained": replace(first, theta=first.checkpoints[0])} | runs
        figure, axes = plt.subplots(1, len(drawn), figsize=(9, 3.2), sharey=True)
        for ax, (method, run) in zip(axes, drawn.items(), strict=True):
            plot_half_axis_fit(*half_axis_fit(run, 5, shown, run.config.alpha), ax, method=method)
        figure.legend(*neutral_legend(axes[0]), loc="outside lower center", ncols=3)
    alt = (
        "A grey sinusoid with five black points on its right half, in a panel for each network: the untrained one and "
        f"those of {len(runs)} methods, before adaptation and after {' and '.join(map(str, shown[1:]))} gradient "
        f"step{'s' if shown[-1] > 1 else ''} on those points."
    )
    return Explorer("adapt", ("net.js", "random.js", "adapt.js"), settings, figure, alt)


PRESETS = (
    {
        "name": "Half of the axis",
        "A": HALF_AXIS_TASK["amplitude"],
        "b": HALF_AXIS_TASK["phase"],
        "x": [round(x, 2) for x in half_axis_points(5, SineTasks()).tolist()],
        "half": True,
        "steps": 10,
    },
    {"name": "Two points", "A": 3.0, "b": 1.0, "x": [-2.0, 1.5], "steps": 10},
    {"name": "Beyond the training range", "A": 7.0, "b": 4.5, "x": [-4.4, -3.1, -2, -0.9, 0.3, 1.2, 2.5, 3.3, 4.1, 4.8],
     "steps": 10},
    {"name": "MAML diverges", "A": 4.0, "b": 0.85, "x": [3.8, 3.9, 4.0], "steps": 10},
)  # fmt: skip


def line10() -> Explorer:
    """Explore line 10: tasks with one or two parameters, their inner paths, and four directions for the start θ.

    Along its own axes e_j a task is L(θ) = Σ_j h_j (u_j²/2 + κ u_j⁴/4) with u_j = e_jᵀ(θ - c); support and query
    loss are the same. The directions, means over tasks, with H_k the Hessian at θ^(k) and g the gradient at θ^(K):
    exact ∏(I - αH_k) g; first-order g; all Jacobians at θ, (I - αH_0)^K g; Reptile (θ - θ^(K))/α. For κ = 0 each
    rests at (Σ W_i)⁻¹ Σ W_i c_i.

    Returns:
        Explorer.

    Source: Finn et al. (2017), algorithm 1, line 10; Nichol et al. (2018) for Reptile.
    """
    styles = _styles("maml", "fomaml", "untrained", "reptile")
    broad = {"dash": "", "width": 7, "opacity": 0.45}  # it shows beneath the exact one
    settings = {
        "presets": QUADRATICS,
        "styles": {
            "exact": styles["maml"] | {"label": "exact"},
            "first": styles["fomaml"] | {"label": "first-order"},
            "frozen": styles["untrained"] | {"label": "all Jacobians at θ"} | broad,
            "reptile": styles["reptile"],
        },
    }
    with plt.rc_context(HOUSE_STYLE):
        figure, ax = plt.subplots(figsize=(6.4, 4.4))
        scene = next(preset for preset in QUADRATICS if len(preset["theta"]) == 2)
        c, h = (np.array([task[name] for task in scene["tasks"]]) for name in "ch")  # [T, 2]; axes along the figure's
        left = (1 - scene["alpha"] * h) ** scene["steps"]
        grid = np.stack(np.meshgrid(np.linspace(-3, 3, 121), np.linspace(-2.1, 2.1, 85)), -1)
        for place, curvature in zip(c, h, strict=True):
            ax.contour(*np.moveaxis(grid, -1, 0), ((grid - place) ** 2 * curvature).sum(-1) / 2, [0.15, 0.6],
                       colors="#999999", linewidths=1)  # fmt: skip
        for method, w in {"maml": h * left**2, "fomaml": h * left, "reptile": 1 - left}.items():
            ax.plot(*(w * c).sum(0) / w.sum(0), MARKERS[method], color=METHOD_STYLE[method]["color"], ms=9,
                    label=METHOD_STYLE[method]["label"])  # fmt: skip
        ax.plot(*c.T, **POINT_STYLE)
        ax.set(xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
        ax.legend()
    alt = (
        "Two tasks as valleys in a plane of two parameters, one lying and one standing, and the places where MAML, "
        "first-order MAML and Reptile converge between their minima."
    )
    return Explorer("line10", ("line10.js",), settings, figure, alt)


QUADRATICS = (
    {"name": "A fast and a slow task", "alpha": 0.5, "steps": 1, "bend": 0, "theta": [-1.0], "tasks": [
        {"c": [0.0], "h": [1.0], "a": 0}, {"c": [1.0], "h": [0.1], "a": 0}]},
    {"name": "Two valleys", "equal": True, "alpha": 0.6, "steps": 1, "bend": 0, "theta": [-1.5, 1.5], "tasks": [
        {"c": [-1.0, 0.0], "h": [0.08, 1.6], "a": 0}, {"c": [0.7, 1.2], "h": [1.6, 0.08], "a": 0}]},
    {"name": "Bent: Hessians differ", "equal": True, "alpha": 0.4, "steps": 3, "bend": 0.3, "theta": [-1.6, 1.4],
     "tasks": [
        {"c": [-1.0, -0.3], "h": [0.2, 0.9], "a": 0.4}, {"c": [1.1, 0.4], "h": [0.8, 0.15], "a": 0.2}]},
    {"name": "A step past the minimum", "alpha": 0.9, "steps": 1, "bend": 0, "theta": [0.6], "tasks": [
        {"c": [-0.5], "h": [1.6], "a": 0}, {"c": [1.5], "h": [0.3], "a": 0}]},
    {"name": "Three tasks", "equal": True, "alpha": 0.5, "steps": 2, "bend": 0, "theta": [0.2, -1.4], "tasks": [
        {"c": [-1.4, 0.2], "h": [0.3, 1.2], "a": 0.6}, {"c": [1.2, 1.0], "h": [1.0, 0.2], "a": -0.3},
        {"c": [0.6, -0.8], "h": [0.6, 0.6], "a": 0}]},
)  # fmt: skip


def metatrain() -> Explorer:
    """Explore meta-training: every method learns in the page, in a thread of its own, with exact gradients.

    A seed in the page is that seed in `l2l.train`: the same first parameters and the same tasks, and the gradient norm
    is the history's. The page computes in double precision. Errors are means over TEST_TASKS tasks of the meta-test
    stream, with 100 query points each.

    Returns:
        Explorer.
    """
    runs = shipped_runs()
    config, family = TrainConfig(), SineTasks()
    settings = {
        "styles": _styles(*runs, "truth"),
        "family": asdict(family),
        "sizes": config.sizes,
        "defaults": {name: getattr(config, name) for name in ("alpha", "steps", "tasks", "shots", "query", "beta")},
        "streams": [stream(TRAIN, seed).initial_seed() for seed in SEEDS],
        "measured": {
            "heldOut": stream(HELD_OUT, 0).initial_seed(),
            "heldOutTasks": HELD_OUT_TASKS,
            "metaTest": stream(META_TEST, 0).initial_seed(),
            "testTasks": TEST_TASKS,
        },
        "last": config.iterations,
        "task": {
            "A": HALF_AXIS_TASK["amplitude"],
            "b": HALF_AXIS_TASK["phase"],
            "x": half_axis_points(5, family).tolist(),
        },
        "worker": "".join(map(_source, ("net.js", "random.js", "worker.js"))),
        "note": (
            "All three take each step on the same batch, from the same start; a change of setting starts afresh. "
            f"Errors are mean squared errors, means over {TEST_TASKS} tasks that no training sees. The fit shows one "
            "task, with support points on half of the axis, after the chosen number of steps."
        ),
    }
    batch = meta_test_batch(runs["maml"], TEST_TASKS, config.shots)
    with plt.rc_context(HOUSE_STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6))
        plot_gradient_norms({method: run.history for method, run in runs.items()}, left)
        results = {m: meta_test(r, batch, alpha=config.alpha, steps=10, optimizer="sgd") for m, r in runs.items()}
        plot_adaptation_curves({method: result["query"] for method, result in results.items()}, right)
        right.get_legend().remove()
    alt = (
        "Left, the norm of the initial adaptation gradient through the training of each method. Right, each method's "
        "query error against the number of adaptation steps."
    )
    return Explorer("metatrain", ("net.js", "metatrain.js"), settings, figure, alt)


@cache
def shipped_runs() -> dict[str, Run]:
    """Return the package's own runs of every method, with checkpoints on the way; `make paper` trains them again."""
    return {method: Run.stored(method) for method in ("maml", "fomaml", "pretrain")}


def _check_runs(runs: Mapping[str, Run]) -> None:
    if not runs or not set(runs) <= set(METHOD_STYLE) - {"untrained"}:
        raise ValueError(f"runs must map methods such as 'maml' to runs, got {list(runs)}")
    start = None
    for method, run in runs.items():
        if 0 not in run.checkpoints:
            raise ValueError(f"runs must keep their start, checkpoint_at=(0, …), which that of {method} does not")
        theta = flatten(run.checkpoints[0])[0]
        start = theta if start is None else start
        if theta.shape != start.shape or not torch.equal(theta, start):
            raise ValueError(f"runs must start from the same parameters, that of {method} does not")


def _provenance(runs: Mapping[str, Run]) -> str:
    config = next(iter(runs.values())).config
    return (
        f"The networks are runs of l2l.train: seed {config.seeds[0]}, {config.iterations:,} iterations of "
        f"{config.tasks} tasks, {config.shots} support points, {config.steps} inner step{'s' * (config.steps != 1)}, "
        f"α = {config.alpha:g}."
    )


def _styles(*names: str) -> dict:
    """Return labels, colours and line styles of `l2l.plots`, as SVG has them."""

    def dash(linestyle) -> str:
        return DASHES[linestyle] if isinstance(linestyle, str) else " ".join(str(2 * n) for n in linestyle[1])

    styles = {"truth": {"color": TRUTH_STYLE["color"], "width": 5, "opacity": TRUTH_STYLE["alpha"]}} | {
        method: {"label": style["label"], "color": style["color"], "dash": dash(style["linestyle"])}
        for method, style in METHOD_STYLE.items()
    }
    return {name: style for name, style in styles.items() if name in names}


def _encoded(params: Params) -> str:
    """Return the first replica's parameters as float32 in base64."""
    return base64.b64encode(flatten(params)[0].numpy().astype("<f4").tobytes()).decode()


@cache
def _source(name: str) -> str:
    return (files("l2l") / "js" / name).read_text(encoding="utf-8")


def _literal(value) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
