"""Meta-test of stored runs: one summary of each, as a table and as figures."""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import SupportsFloat

import numpy as np
import torch
from torch import Tensor

from l2l.config import DTYPES
from l2l.methods import Rate, adapt, initial_gradient_norm
from l2l.plots import (
    LEGEND,
    TITLE,
    house_figure,
    neutral_legend,
    plot_adaptation_curves,
    plot_gradient_norms,
    plot_half_axis_fit,
)
from l2l.run import Run
from l2l.stats import confidence_interval
from l2l.tasks import META_TEST, SineBatch, SineTasks, stream

QUERY_POINTS = 100
HALF_AXIS_TASK = {"amplitude": 4.0, "phase": 0.5}  # a large one, so that a bad fit shows


def sines(run: Run) -> SineTasks:
    """Return a run's task family.

    Raises:
        TypeError: the family is not `SineTasks`, the only one that is measured and drawn here.
    """
    if not isinstance(run.task_family, SineTasks):
        raise TypeError(f"task_family must be SineTasks here, got {run.task_family!r}")
    return run.task_family


def meta_test_batch(run: Run, tasks: int, shots: int, half_axis: bool = False) -> SineBatch:
    """Return tasks that no training saw, the same for every run of a task family."""
    family = sines(run)
    side = (sum(family.x_range) / 2, family.x_range[1]) if half_axis else None
    return family.sample(
        tasks, shots, QUERY_POINTS, generator=stream(META_TEST, 0), support_range=side, dtype=DTYPES[run.config.dtype]
    )


def meta_test(run: Run, batch: SineBatch, *, alpha: Rate, steps: int, optimizer: str) -> dict[str, np.ndarray]:
    """Return the errors `support` and `query` [steps+1, R, T], and `gradient_norm` [R, T]."""
    curve = run.adaptation_curve(batch, alpha=alpha, steps=steps, optimizer=optimizer)
    method, _, loss, _ = run.config.parts
    thetas = [run.replica(r) for r in range(len(run.config.seeds))]
    norms = torch.stack([initial_gradient_norm(theta, batch, loss, method.inner_loop) for theta in thetas])
    return {"support": curve.support.numpy(), "query": curve.query.numpy(), "gradient_norm": norms.numpy()}


def summarise(values: np.ndarray) -> dict:
    """Summarise [R, T]: mean, half its 95 % interval (over seeds, or tasks if R = 1), median; None if not finite."""
    by_seed = values.mean(axis=1, dtype=np.float64)
    mean, half_width = confidence_interval(by_seed if len(values) > 1 else values[0])

    def number(value: SupportsFloat) -> float | None:
        return float(value) if math.isfinite(value) else None

    return {
        "mean": number(mean),
        "half_width": number(half_width),
        "median": number(np.median(values)),
        "interval_over": "seeds" if len(values) > 1 else "tasks",
        "mean_by_seed": [number(mean) for mean in by_seed],
    }


def summary(result: Mapping[str, np.ndarray], shown: list[int]) -> dict:
    """Summarise a run's errors after each number of steps in `shown`, and its gradient norm."""
    errors = {part: {str(k): summarise(result[part][k]) for k in shown} for part in ("support", "query")}
    return errors | {"gradient_norm": summarise(result["gradient_norm"])}


def table(summaries: Mapping[str, dict], shown: list[int]) -> str:
    """Lay summaries out as text: for each run a line with the support error and one with the query error."""

    def number(value: float | None) -> str:
        return "∞" if value is None else f"{value:.3f}" if abs(value) < 1000 else f"{value:.1e}"

    def cell(s: dict) -> str:
        return f"{number(s['mean'])} ± {number(s['half_width'])} [{number(s['median'])}]"

    steps = [f"{k} step{'s' * (k != 1)}" for k in shown]
    rows = [["method", "error", *steps, "gradient norm"]]
    for name, s in summaries.items():
        rows.append([name, "support", *(cell(s["support"][str(k)]) for k in shown), cell(s["gradient_norm"])])
        rows.append(["", "query", *(cell(s["query"][str(k)]) for k in shown), ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])


def half_axis_points(points: int, family: SineTasks, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return evenly spaced points within the right half of the axis, [points]."""
    low, high = family.x_range
    return torch.linspace((low + high) / 2, high, points + 2, dtype=dtype, device="cpu")[1:-1]


def half_axis_fit(
    run: Run, shots: int, steps: tuple[int, ...], alpha: Rate
) -> tuple[Tensor, Tensor, dict[int, Tensor], tuple[Tensor, Tensor]]:
    """Adapt the first replica to points on the right half of the axis; return the arguments of `plot_half_axis_fit`."""
    low, high = sines(run).x_range
    x = torch.linspace(low, high, 400, dtype=DTYPES[run.config.dtype], device="cpu")[:, None]
    x_support = half_axis_points(shots, sines(run), x.dtype)[:, None]

    def truth(x):
        return HALF_AXIS_TASK["amplitude"] * torch.sin(x + HALF_AXIS_TASK["phase"])

    theta = run.replica(0)
    with torch.no_grad():
        method, network, loss, _ = run.config.parts
        own = partial(adapt, theta, x_support, truth(x_support), loss=loss, inner_loop=method.inner_loop)
        phis = {k: own(alpha=alpha, steps=k) for k in steps}
        fits = {k: network.apply(phi, x)[:, 0] for k, phi in phis.items()}
    return x[:, 0], truth(x)[:, 0], fits, (x_support[:, 0], truth(x_support)[:, 0])


def draw_figures(folder: Path, runs: Mapping[str, Run], results: Mapping[str, dict], alpha: float | None) -> list[Path]:
    """Draw the three figures, one run of each method, into `folder`; return their paths."""
    norms, (ax,) = house_figure()
    plot_gradient_norms({method: run.history for method, run in runs.items()}, ax)
    ax.legend(**LEGEND)
    errors, axes = house_figure(2, (8, 3.8))
    for ax, part in zip(axes, ("support", "query"), strict=True):
        plot_adaptation_curves({method: result[part] for method, result in results.items()}, ax, error=part)
        ax.get_legend().remove()
    errors.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4, **LEGEND)
    fits, axes = house_figure(len(runs), (2.6 * len(runs) + 0.4, 3.4))
    for ax, (method, run) in zip(axes, runs.items(), strict=True):
        rate = run.config.alpha if alpha is None else alpha
        plot_half_axis_fit(*half_axis_fit(run, 5, (0, 1, 10), rate), ax, method=method)
        ax.set_title(ax.get_title(), **TITLE)
        ax.locator_params(axis="x", nbins=5)  # as many as narrow axes have room for
    fits.legend(*neutral_legend(axes[0]), loc="outside lower center", ncols=3, **LEGEND)
    paths = []
    for name, figure in (("gradient-norms", norms), ("adaptation-curves", errors), ("half-axis-fit", fits)):
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi="figure", facecolor="auto", metadata={"Software": None})
    return paths
