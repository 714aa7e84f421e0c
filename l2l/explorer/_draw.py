"""The explorer `draw`: the reader's own curve first, then the answers over it."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from l2l.explorer._page import Explorer, line_styles
from l2l.plots import HOUSE_STYLE, METHOD_STYLE, POINT_STYLE


def draw(
    x: Tensor,
    answers: Mapping[str, Tensor],
    *,
    points: tuple[Tensor, Tensor] | None = None,
    reach: float | None = None,
) -> Explorer:
    """Let a reader draw a curve before the answers are shown, with the mean squared difference from each.

    Args:
        x: increasing inputs, [N]; the axis goes from the first to the last.
        answers: values at x, [N], under "truth" or the name of a method, whose line style they get.
        points: inputs and values that are shown from the beginning, [n] each.
        reach: the y axis goes from -reach to reach; by default a quarter beyond everything that is shown.

    Returns:
        Explorer.

    Raises:
        ValueError: x doesn't increase, an answer has another shape or a name without a style, or there are no answers.
    """
    if x.dim() != 1 or len(x) < 2 or not (x.diff() > 0).all():
        raise ValueError(f"x must increase, with shape [N] and N ≥ 2, got shape {list(x.shape)}")
    if not answers:
        raise ValueError("answers must hold one curve at least")
    for name, y in answers.items():
        if name != "truth" and name not in METHOD_STYLE:
            raise ValueError(f'answers must be named "truth" or one of {", ".join(METHOD_STYLE)}, got {name!r}')
        if y.shape != x.shape:
            raise ValueError(f"answers[{name!r}] must have the shape of x, {list(x.shape)}, got {list(y.shape)}")
    given = {"x": [], "y": []} if points is None else {n: _numbers(v) for n, v in zip("xy", points, strict=True)}
    shown = [*given["y"], *(v for y in answers.values() for v in _numbers(y))]
    reach = 1.25 * max(map(abs, shown)) if reach is None else reach
    styles = line_styles(*answers)
    if "truth" in styles:
        styles["truth"] |= {"label": "the function"}
    settings = {
        "x": _numbers(x),
        "points": given,
        "answers": {name: _numbers(y) for name, y in answers.items()},
        "styles": styles,
        "reach": round(reach, 1),
    }
    alt = f"Empty axes with {len(given['x']) or 'no'} points, to draw a curve in."
    return Explorer("draw", settings, _still(x, given, reach), alt)


def _numbers(values: Tensor) -> list[float]:
    return [round(v, 4) for v in values.detach().double().tolist()]


def _still(x: Tensor, points: dict, reach: float) -> Figure:
    with plt.rc_context(HOUSE_STYLE):
        figure, ax = plt.subplots(figsize=(6, 2.8))
        ax.plot(points["x"], points["y"], **POINT_STYLE)
        ax.set(xlim=(x[0].item(), x[-1].item()), ylim=(-reach, reach), xlabel="$x$", ylabel="$y$")
    return figure
