"""The loss curve of a training run, as a picture for a phone."""

from __future__ import annotations

import io
from collections.abc import Sequence

#: Pixels of the picture.
SIZE = (1080, 720)
#: Weight of what came before in the smooth line.
SMOOTH = 0.5
_INK, _SOFT, _LINE = "#261e19", "#b9aca0", "#cd5431"


def draw(steps: Sequence[tuple[int, float]], total: int | None = None, title: str = "") -> bytes:
    """A PNG of (iteration, loss), with a smoothed line; `total`: iterations there will be.

    Takes some 0.2 s, half a second the first time: call it in a thread.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # No pyplot: its global state is not for threads.
    figure = Figure(figsize=(SIZE[0] / 120, SIZE[1] / 120), dpi=120, facecolor="#fdf9f2")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.12, 0.86, 0.76), facecolor="#fdf9f2")
    x, y = [step for step, _ in steps], [loss for _, loss in steps]
    axes.plot(x, y, color=_SOFT, linewidth=1.2)
    axes.plot(x, _smoothed(y), color=_LINE, linewidth=2.6, solid_capstyle="round")
    if y:
        axes.plot(x[-1:], _smoothed(y)[-1:], "o", color=_LINE, markersize=7)
    axes.set_xlim(0, max(total or 0, x[-1] if x else 1))
    axes.set_ylim(0, None)
    axes.set_xlabel("iteration", color=_INK)
    axes.set_title(title or "loss", color=_INK, loc="left", fontweight="bold")
    for name in ("top", "right"):
        axes.spines[name].set_visible(False)
    axes.grid(visible=True, axis="y", color="#e8dfd3")
    axes.set_axisbelow(True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _smoothed(values: Sequence[float]) -> list[float]:
    """An exponential mean, corrected for its start."""
    mean, weight, found = 0.0, 0.0, []
    for value in values:
        mean, weight = SMOOTH * mean + (1 - SMOOTH) * value, SMOOTH * weight + 1 - SMOOTH
        found.append(mean / weight)
    return found
