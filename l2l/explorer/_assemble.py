"""The explorer `assemble`: line 10, put together by the reader from pieces, some of which are wrong."""

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from l2l.explorer._page import Explorer
from l2l.net import Params, flatten, init_params
from l2l.plots import HOUSE_STYLE
from l2l.tasks import SineBatch, SineTasks

SIZES, ALPHA, STEPS, TASKS = (1, 6, 5, 1), 0.03, 3, 4
SEED = 5
"""Of the small network and its tasks, on which the page runs what the reader built."""


def assemble() -> Explorer:
    """Put line 10 together: the page runs the reader's lines and compares the result with the exact meta-gradient.

    The lines of the inner loop and of the meta-gradient are pieces to choose and to order; some are nearly right. The
    reader's program runs in double precision on a small network with three inner steps; if its result deviates, the
    explorer names the mistake.

    Returns:
        Explorer.
    """
    theta, batch, inner = problem()

    def points(part: str, i: int) -> dict[str, list[float]]:
        return {name: getattr(batch, f"{name}_{part}")[i, :, 0].tolist() for name in "xy"}

    settings = {
        "theta": {"sizes": SIZES, "values": flatten(theta).tolist()},
        "batch": [{part: points(part, i) for part in ("support", "query")} for i in range(TASKS)],
        **inner,
        "note": (
            f"The page runs your lines on T = {TASKS} tasks and a network of {flatten(theta).numel()} parameters, with "
            f"K = {STEPS} inner steps at α = {ALPHA}, in double precision; g begins at zero. H(φ) v is a "
            "Hessian–vector product of the support loss."
        ),
    }
    alt = "Lines of a program for the meta-gradient, to be put in order."
    return Explorer("assemble", settings, _still(), alt)


def problem() -> tuple[Params, SineBatch, dict]:
    """Return the small network, its tasks, and the settings of the inner loop."""
    generator = torch.Generator().manual_seed(SEED)
    theta = init_params(SIZES, generator=generator, dtype=torch.float64)
    batch = SineTasks().sample(TASKS, 6, 5, generator=generator, dtype=torch.float64)
    return theta, batch, {"alpha": ALPHA, "steps": STEPS}


def _still() -> Figure:
    lines = (
        "for each task:",
        "    φ[0] = θ",
        "    …  the inner loop",
        "    …  the query gradient v",
        "    …  line 10: v through every inner step",
        "    …  g, the mean over tasks",
    )
    with plt.rc_context(HOUSE_STYLE):
        figure, ax = plt.subplots(figsize=(6, 2.2))
        for row, line in enumerate(lines):
            ax.text(0, -row, line, family="monospace")
        ax.set(xlim=(-0.2, 8), ylim=(-len(lines) + 0.5, 0.8))
        ax.axis("off")
    return figure
