"""The explorer `adapt`: drag the support points and adapt step by step, at every stage of meta-training."""

from collections.abc import Mapping
from dataclasses import asdict, replace

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from l2l.explorer._page import Explorer, encoded, line_styles, moments, shipped_runs
from l2l.methods import Method, Rate, maml
from l2l.net import Params, flatten
from l2l.plots import HOUSE_STYLE, METHOD_STYLE, neutral_legend, plot_half_axis_fit
from l2l.report import HALF_AXIS_TASK, half_axis_fit, half_axis_points, sines
from l2l.run import Run
from l2l.tasks import SineTasks

RELATIVES_NOTE = (
    " Reptile, ANIL and Meta-SGD are trained as in chapter 11: Reptile with five inner steps, the others with one."
)
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
    {
        "name": "Beyond the training range",
        "A": 7.0,
        "b": 4.5,
        "x": [-4.4, -3.1, -2, -0.9, 0.3, 1.2, 2.5, 3.3, 4.1, 4.8],
        "steps": 10,
    },
    {"name": "MAML diverges", "A": 4.0, "b": 0.85, "x": [3.8, 3.9, 4.0], "steps": 10},
)


def adapt(runs: Mapping[str, Run] | None = None, *, compact: bool = False) -> Explorer:
    """Explore adaptation: drag the support points and adapt step by step, at every stage of meta-training.

    With the package's own runs a reader can add Reptile, ANIL and Meta-SGD.
    ANIL's steps change the head alone; Meta-SGD's use the learned rates, multiplied by the chosen over the trained α.

    The page takes up to 50 steps θ^(k) = θ^(k-1) - α ∇L(θ^(k-1); support) in double precision.

    Args:
        runs: method → a run with checkpoints, whose first replica is shown; all of one seed, network and task
            family. The package's own if not given: seed 0, 70,000 iterations.
        compact: leave out all but the points, the steps and the presets, and keep the last parameters only.

    Returns:
        Explorer.

    Raises:
        ValueError: no runs, unknown methods, or runs that have no checkpoint 0 or start from different parameters.
        TypeError: a run of a task family other than SineTasks.
    """
    shipped = runs is None
    runs = shipped_runs() if runs is None else dict(runs)
    _check_runs(runs)
    first = next(iter(runs.values()))
    iterations = sorted(set.intersection(*(set(moments(run)) for run in runs.values())) | {0})
    iterations = [0, iterations[-1]] if compact else iterations
    weights = {"untrained": encoded(first.checkpoints[0])} | {
        method: {i: encoded(moments(run)[i]) for i in iterations if i} for method, run in runs.items()
    }
    relatives, scales = _relatives(iterations) if shipped and not compact else ({}, {})
    settings = {
        "sizes": first.config.sizes,
        "weights": weights | relatives,
        "scales": scales,
        "shown": ["untrained", *runs],
        "iterations": iterations,
        "styles": line_styles(*runs, *relatives, "untrained", "truth"),
        "presets": PRESETS[:3] if compact else PRESETS,
        "compact": compact,
        "shipped": shipped,
        "family": asdict(sines(first)),
        "provenance": _provenance(first) + (RELATIVES_NOTE if relatives else ""),
    }
    shown = (0, 1) if compact else (0, 1, 10)
    alt = (
        "A grey sinusoid with five black points on its right half, in a panel for each network: the untrained one and "
        f"those of {len(runs)} methods, before adaptation and after {' and '.join(map(str, shown[1:]))} gradient "
        f"step{'s' if shown[-1] > 1 else ''} on those points."
    )
    return Explorer("adapt", settings, _still(runs, shown), alt)


def _with_rates(params: Params, alpha: Rate) -> Params:
    return params | {f"log_rate.{n}": p for n, p in params.items()}


# Names the parameters of each method of chapter 11; nothing else of it is used.
RELATIVES = {
    "reptile": Method("reptile", maml),
    "anil": Method("head", maml),
    "meta-sgd": Method("meta-sgd", maml, init=_with_rates),
}


def _relatives(iterations: list[int]) -> tuple[dict, dict]:
    """Return the first replica's parameters of these methods by iteration, and Meta-SGD's rates as multiples of α."""
    weights: dict = {method: {} for method in RELATIVES}
    scales: dict = {"meta-sgd": {}}
    for method, known in RELATIVES.items():
        run = Run.stored(f"explorer-{method}", method=known)
        stages = moments(run)
        for i in filter(None, iterations):
            kept = stages[i]
            network = {n: p for n, p in kept.items() if not n.startswith("log_rate.")}
            weights[method][i] = encoded(network)
            if method in scales:
                alpha = torch.tensor(run.config.alpha)
                scales[method][i] = encoded({n: kept[f"log_rate.{n}"].exp() / alpha for n in network})
    return weights, scales


def _still(runs: Mapping[str, Run], shown: tuple[int, ...]) -> Figure:
    first = next(iter(runs.values()))
    drawn = {"untrained": replace(first, theta=first.checkpoints[0]), **runs}
    with plt.rc_context(HOUSE_STYLE):
        figure, axes = plt.subplots(1, len(drawn), figsize=(9, 3.2), sharey=True)
        for ax, (method, run) in zip(axes, drawn.items(), strict=True):
            plot_half_axis_fit(*half_axis_fit(run, 5, shown, run.config.alpha), ax, method=method)
        figure.legend(*neutral_legend(axes[0]), loc="outside lower center", ncols=3)
    return figure


def _check_runs(runs: Mapping[str, Run]) -> None:
    if not runs or not set(runs) <= set(METHOD_STYLE) - {"untrained"}:
        raise ValueError(f"runs must map methods such as 'maml' to runs, got {list(runs)}")
    start = None
    for method, run in runs.items():
        if 0 not in run.checkpoints:
            raise ValueError(f"runs must keep their start, as with checkpoint_at=(0, …), but that of {method} does not")
        theta = flatten(run.checkpoints[0], axes=1)[0]
        start = theta if start is None else start
        if theta.shape != start.shape or not torch.equal(theta, start):
            raise ValueError(f"runs must start from the same parameters, but that of {method} does not")


def _provenance(run: Run) -> str:
    config = run.config
    return (
        f"The networks are runs of l2l.train: seed {config.seeds[0]}, {config.iterations:,} iterations of "
        f"{config.tasks} tasks, {config.shots} support points, {config.steps} inner step{'s' * (config.steps != 1)}, "
        f"α = {config.alpha:g}."
    )
