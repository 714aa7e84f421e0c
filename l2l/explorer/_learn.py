"""The explorer `learn`: the reader is the learner."""

from dataclasses import asdict

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from l2l.explorer._page import Explorer, encoded, line_styles, shipped_runs
from l2l.plots import HOUSE_STYLE, OTHER_COLORS, POINT_STYLE
from l2l.tasks import SineTasks

NOISE, STEPS, REACH = 0.1, 10, 8
SEED = 14  # of the first ten tasks, which begins with a large amplitude and points all over the axis
FAMILIES = {
    "sines": {"slope": (0.0, 0.0), "frequency": 1.0},
    "faster": {"slope": (0.0, 0.0), "frequency": 2.0},
    "tilted": {"slope": (-0.6, 0.6), "frequency": 1.0},
}
"""y = m x + A sin(ωx + b), with the amplitudes and phases of SineTasks: the range of m, which is uniform, and ω."""


def learn() -> Explorer:
    """Be the learner: draw ten curves of one family from five points each, and see your query error fall, or not.

    After each curve the true function is shown, and the query error of every learner given the same five points, whose
    y have normal noise of standard deviation 0.1: MAML, FOMAML and pre-training after ten steps, the two-point solver,
    and the posterior mean under the first family's prior. At the end the reader is asked what the curves had in common.
    Two more families show what does not transfer. Nothing leaves the page.

    Returns:
        Explorer.
    """
    runs = shipped_runs()
    config, family = runs["maml"].config, SineTasks()
    settings = {
        "range": family.x_range,
        "reach": REACH,
        "noise": NOISE,
        "seed": SEED,
        "families": {name: asdict(family) | shape for name, shape in FAMILIES.items()},
        "alpha": config.alpha,
        "steps": STEPS,
        "sizes": config.sizes,
        "weights": {method: encoded(run.theta) for method, run in runs.items()},
        "truth": line_styles("truth")["truth"],
        "styles": line_styles(*runs)
        | {
            "solver": {"label": "two-point solver", "color": OTHER_COLORS[3], "dash": "2 3"},
            "bayes": {"label": "Bayes-optimal predictor", "color": OTHER_COLORS[2], "dash": "8 4"},
        },
        "note": (
            "The query error is the mean squared difference from the true curve over the whole axis. "
            f"The points have noise of standard deviation {NOISE:g}. MAML, FOMAML and pre-training are runs of "
            f"l2l.train, seed {config.seeds[0]}, {config.iterations:,} iterations on tasks of family 1 with "
            f"{config.shots} points, and take {STEPS} steps on your five; the solver takes the first and the third "
            "point; the Bayes-optimal predictor is the posterior mean for family 1. None of them knows another family."
        ),
    }
    alt = "Axes with five points of a curve, to be drawn."
    return Explorer("learn", settings, _still(family), alt)


def _still(family: SineTasks) -> Figure:
    task = family.sample(1, 5, 1, generator=torch.Generator().manual_seed(3))
    with plt.rc_context(HOUSE_STYLE):
        figure, ax = plt.subplots(figsize=(7, 3.2))
        ax.plot(task.x_support[0], task.y_support[0], **POINT_STYLE)
        ax.set(xlim=family.x_range, ylim=(-REACH, REACH), xlabel="$x$", ylabel="$y$")
    return figure
