"""Explorers: pictures that compute in the page itself, in a book, JupyterLab or Colab alike, with no kernel.

The page restates this package's mathematics in plain JavaScript (the files in `l2l/js`), which the tests compare with
torch. Each explorer is one piece of HTML that holds all it needs: nothing is loaded from anywhere.
"""

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from l2l.net import Params, flatten
from l2l.plots import HOUSE_STYLE, METHOD_STYLE, TRUTH_STYLE, plot_gradient_norms, plot_half_axis_fit
from l2l.report import HALF_AXIS_TASK, half_axis_fit
from l2l.run import Run
from l2l.tasks import HELD_OUT, META_TEST, TRAIN, SineTasks, stream

SEEDS = range(10)  # that the page offers for training
DASHES = {"-": "", "--": "8 4", "-.": "9 3 2 3", ":": "2 3"}


class Explorer:
    """A piece of HTML that shows itself in a notebook; without JavaScript, a still picture and a sentence.

    Attributes:
        html: the whole of it, self-contained.
    """

    def __init__(self, kind: str, scripts: tuple[str, ...], settings: dict, figure: Figure, alt: str):
        start = f"mount({json.dumps(kind)}, (root, panel) => {build_name(kind)}(root, panel, {_literal(settings)}));"
        self.html = (
            f'<div class="l2l-explorer" data-kind="{kind}">\n<style>\n{_source("explorer.css")}</style>\n'
            f'<figure class="l2l-still"><img alt="{alt}" src="data:image/png;base64,{_png(figure)}">'
            "<figcaption>A still picture. Where JavaScript runs, you can move everything in it.</figcaption></figure>\n"
            f"<script>\n(() => {{\n{''.join(map(_source, ('ui.js', *scripts)))}{start}\n}})();\n</script>\n</div>"
        )

    def _repr_html_(self) -> str:
        return self.html


def build_name(kind: str) -> str:
    """Return the name of the JavaScript function that builds an explorer."""
    return f"build{kind[0].upper()}{kind[1:]}"


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
        "styles": _styles(*runs, "untrained"),
        "presets": PRESETS[:3] if compact else PRESETS,
        "compact": compact,
        "family": asdict(first.task_family),
        "provenance": _provenance(runs),
    }
    with plt.rc_context(HOUSE_STYLE):
        figure, axes = plt.subplots(1, len(runs), figsize=(8, 3.2), sharey=True, squeeze=False)
        for ax, (method, run) in zip(axes[0], runs.items(), strict=True):
            plot_half_axis_fit(*half_axis_fit(run, 5, (0, 1, 10), run.config.alpha), ax, method=method)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    alt = (
        "A grey sinusoid with five black points on its right half, and each network before adaptation, after 1 and "
        "after 10 gradient steps on those points."
    )
    return Explorer("adapt", ("net.js", "random.js", "adapt.js"), settings, figure, alt)


PRESETS = (
    {
        "name": "Half of the axis",
        "A": HALF_AXIS_TASK["amplitude"],
        "b": HALF_AXIS_TASK["phase"],
        "x": [round(5 * (i + 1) / 6, 2) for i in range(5)],
        "half": True,
        "steps": 10,
    },
    {"name": "Two points", "A": 3.0, "b": 1.0, "x": [-2.0, 1.5], "steps": 10},
    {"name": "Beyond the training range", "A": 7.0, "b": 4.5, "x": [-4.4, -3.1, -2, -0.9, 0.3, 1.2, 2.5, 3.3, 4.1, 4.8],
     "steps": 10},
    {"name": "MAML diverges", "A": 5.0, "b": 1.6, "x": [4.6, 4.7, 4.8, 4.9, 5.0], "steps": 10},
)  # fmt: skip


@cache
def shipped_runs() -> dict[str, Run]:
    """Return the package's own runs of every method, with checkpoints on the way; `make paper` trains them again."""
    return {method: Run.load(Path(str(files("l2l"))) / "data" / f"{method}.safetensors") for method in
            ("maml", "fomaml", "pretrain")}  # fmt: skip


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


def _styles(*methods: str) -> dict:
    """Return labels, colours and line styles of `l2l.plots`, as SVG has them."""

    def dash(linestyle) -> str:
        return DASHES[linestyle] if isinstance(linestyle, str) else " ".join(str(2 * n) for n in linestyle[1])

    return {m: {"label": s["label"], "color": s["color"], "dash": dash(s["linestyle"])} for m, s in METHOD_STYLE.items()
            if m in methods}  # fmt: skip


def _encoded(params: Params) -> str:
    """Return the first replica's parameters as float32 in base64."""
    return base64.b64encode(flatten(params)[0].numpy().astype("<f4").tobytes()).decode()


@cache
def _source(name: str) -> str:
    return (files("l2l") / "js" / name).read_text(encoding="utf-8")


def _literal(value) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()
