"""The explorer `step`: one inner step of any length, for runs at each of their checkpoints."""

from dataclasses import asdict

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch.func import grad, vmap

from l2l.explorer._page import Explorer, encoded, line_styles, moments, shipped_runs
from l2l.net import mse
from l2l.plots import HOUSE_STYLE, METHOD_STYLE
from l2l.run import Run
from l2l.tasks import META_TEST, SineTasks, stream

TASKS = 200
RATES = (0.0025, 0.005, 0.02, 0.04)
"""Of MAML, beside the usual 0.01: stored runs of 15,000 iterations."""
TASK = {"A": 3.0, "b": 0.5, "x": [-4.2, -2.6, -1.1, 0.7, 2.9]}


def step() -> Explorer:
    """Explore the length of the inner step: the mean query error after θ - mα∇L(θ) against the multiple m.

    The networks are the package's own runs of MAML, FOMAML and joint pre-training at each of their checkpoints, and
    MAML trained with four other rates. The error is the mean over TASKS tasks of ten shots, and that of one task whose
    points the reader drags, with its best multiple, αλ_max and the curvature along the step.

    Returns:
        Explorer.
    """
    shipped, family = shipped_runs(), SineTasks()
    rates = {f"maml-alpha-{rate}": Run.stored(f"maml-alpha-{rate}") for rate in RATES}
    runs = shipped | rates
    labels = {m: METHOD_STYLE[m]["label"] for m in shipped} | {
        f"maml-alpha-{rate}": f"MAML, α = {rate}" for rate in RATES
    }
    settings = {
        "runs": {
            name: {
                "label": labels[name],
                "method": name if name in shipped else "maml",
                "alpha": run.config.alpha,
            }
            for name, run in runs.items()
        },
        "weights": {
            name: {i: encoded(params) for i, params in sorted(moments(run).items())} for name, run in runs.items()
        },
        "moments": sorted(moments(shipped["maml"])),
        "sizes": shipped["maml"].config.sizes,
        "styles": line_styles(*shipped, "truth"),
        "family": asdict(family),
        "tasks": TASKS,
        "seed": stream(META_TEST, 0).initial_seed(),
        "task": TASK,
        "note": (
            f"First plot: mean squared query error after one step on ten points, over {TASKS} tasks (line), and on the "
            "one task (dotted); each minimum is a dot. The vertical lines are the trained length and, dashed, the "
            "chosen one. Second plot: that task (grey), and the network before the step (dotted) and after it. MAML at "
            "other rates was trained for 15,000 iterations, the others at 0.01 for up to 70,000; one seed each."
        ),
    }
    alt = (
        "Mean query error against the length of one step, as a multiple of the trained one, for MAML, FOMAML and "
        "pre-training. The curves of the first two have their minimum close to 1."
    )
    return Explorer("step", settings, _still(shipped, family), alt)


def _still(runs: dict[str, Run], family: SineTasks) -> Figure:
    multiples = torch.linspace(0, 3, 31)
    batch = family.sample(TASKS, 10, 25, generator=stream(META_TEST, 0))
    with plt.rc_context(HOUSE_STYLE), torch.no_grad():
        figure, ax = plt.subplots(figsize=(7, 3.4))
        for method, run in runs.items():
            theta, alpha = run.replica(0), run.config.alpha

            def by_length(xs, ys, xq, yq, theta=theta, alpha=alpha):
                slope = grad(mse)(theta, xs, ys)
                return vmap(lambda m: mse({n: p - m * alpha * slope[n] for n, p in theta.items()}, xq, yq))(multiples)

            ax.plot(multiples, vmap(by_length, chunk_size=20)(*batch[:4]).mean(0), **METHOD_STYLE[method])
        ax.axvline(1, color="#222222", linewidth=0.8)
        ax.set(yscale="log", xlabel="length of the step, as a multiple of the trained one", ylabel="query error")
        ax.legend()
    return figure
