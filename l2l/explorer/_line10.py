"""The explorer `line10`: tasks with one or two parameters, and four directions for the start θ."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from l2l.explorer._page import Explorer, line_styles
from l2l.plots import HOUSE_STYLE, MARKERS, METHOD_STYLE, POINT_STYLE


def _scene(
    name: str, theta: list, tasks: list[tuple], *, alpha: float, steps: int, bend: float = 0, equal: bool = False
) -> dict:
    """Return a preset; tasks as (c, h, a): minimum, curvatures along the task's own axes, angle of the first axis."""
    return {
        "name": name,
        "theta": theta,
        "tasks": [dict(zip("cha", task, strict=True)) for task in tasks],
        "alpha": alpha,
        "steps": steps,
        "bend": bend,
        "equal": equal,  # arrows of equal length
    }


VALLEYS = _scene(
    "Two valleys",
    [-1.5, 1.5],
    [([-1.0, 0.0], [0.08, 1.6], 0), ([0.7, 1.2], [1.6, 0.08], 0)],
    alpha=0.6,
    steps=1,
    equal=True,
)
QUADRATICS = (
    _scene("A fast and a slow task", [-1.0], [([0.0], [1.0], 0), ([1.0], [0.1], 0)], alpha=0.5, steps=1),
    VALLEYS,
    _scene(
        "Bent: Hessians differ",
        [-1.6, 1.4],
        [([-1.0, -0.3], [0.2, 0.9], 0.4), ([1.1, 0.4], [0.8, 0.15], 0.2)],
        alpha=0.4,
        steps=3,
        bend=0.3,
        equal=True,
    ),
    _scene("A step past the minimum", [0.6], [([-0.5], [1.6], 0), ([1.5], [0.3], 0)], alpha=0.9, steps=1),
    _scene(
        "Three tasks",
        [0.2, -1.4],
        [([-1.4, 0.2], [0.3, 1.2], 0.6), ([1.2, 1.0], [1.0, 0.2], -0.3), ([0.6, -0.8], [0.6, 0.6], 0)],
        alpha=0.5,
        steps=2,
        equal=True,
    ),
)


def line10() -> Explorer:
    """Explore line 10: tasks with one or two parameters, their inner paths, and four directions for the start θ.

    Along its own axes e_j a task is L(θ) = Σ_j h_j (u_j²/2 + κ u_j⁴/4) with u_j = e_jᵀ(θ - c); support and query
    loss are the same. The directions, means over tasks, with H_k the Hessian at θ^(k) and g the gradient at θ^(K):
    exact ∏(I - αH_k) g; first-order g; all Jacobians at θ, (I - αH_0)^K g; Reptile (θ - θ^(K))/α. For κ = 0
    descent along each of them converges to (Σ W_i)⁻¹ Σ W_i c_i.

    Returns:
        Explorer.

    Source: Finn et al. (2017), algorithm 1, line 10; Nichol et al. (2018) for Reptile.
    """
    styles = line_styles("maml", "fomaml", "untrained", "reptile")
    broad = {"dash": "", "width": 7, "opacity": 0.45}  # so that it shows beneath the exact arrow
    settings = {
        "presets": QUADRATICS,
        "styles": {
            "exact": styles["maml"] | {"label": "exact"},
            "first": styles["fomaml"] | {"label": "first-order"},
            "frozen": styles["untrained"] | {"label": "all Jacobians at θ"} | broad,
            "reptile": styles["reptile"],
        },
    }
    alt = (
        "Two tasks as valleys in a plane of two parameters, one horizontal and one vertical, and the points between "
        "their minima to which MAML, first-order MAML and Reptile converge."
    )
    return Explorer("line10", settings, _still(), alt)


def _still() -> Figure:
    """Draw the two valleys and where three methods converge; the tasks' own axes are the figure's."""
    c, h = (np.array([task[name] for task in VALLEYS["tasks"]]) for name in "ch")  # [T, 2]
    left = (1 - VALLEYS["alpha"] * h) ** VALLEYS["steps"]
    weights = {"maml": h * left**2, "fomaml": h * left, "reptile": 1 - left}  # [T, 2] each
    grid = np.stack(np.meshgrid(np.linspace(-3, 3, 121), np.linspace(-2.1, 2.1, 85)), -1)
    with plt.rc_context(HOUSE_STYLE):
        figure, ax = plt.subplots(figsize=(6.4, 4.4))
        for minimum, curvature in zip(c, h, strict=True):
            loss = ((grid - minimum) ** 2 * curvature).sum(-1) / 2
            ax.contour(*np.moveaxis(grid, -1, 0), loss, [0.15, 0.6], colors="#999999", linewidths=1)
        for method, w in weights.items():
            style = METHOD_STYLE[method]
            ax.plot(*(w * c).sum(0) / w.sum(0), MARKERS[method], ms=9, color=style["color"], label=style["label"])
        ax.plot(*c.T, **POINT_STYLE)
        ax.set(xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
        ax.legend()
    return figure
