"""Where on a photo little happens: the place for a speech bubble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: The photo is judged at this many pixels on its longer side.
_GRID: Final = 96
# A bubble belongs above who speaks: the lower edge is as bad as the busiest place, almost.
_LOW: Final = 0.6
# And beside the dish, which photographers put in the middle.
_MIDDLE: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A calm place, and where the photo's subject is, in pixels of the photo."""

    #: The upper left corner of the box.
    x: int
    y: int
    subject: tuple[int, int]


def find(photo: Image.Image, width: int, height: int, margin: int) -> Place:
    """The calmest place for a box of width x height pixels, `margin` from every edge.

    Calm is the mean gradient under the box; what lies high and off the middle counts as calmer.
    """
    scale = _GRID / max(photo.size)
    grid = (max(8, round(photo.width * scale)), max(8, round(photo.height * scale)))
    small = photo.convert("L").resize(grid, Image.Resampling.BOX, reducing_gap=2.0)
    busy = _gradient(np.asarray(small, np.float32))
    rows, columns = busy.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    off = np.hypot((x + 0.5) / columns - 0.5, (y + 0.5) / rows - 0.5)
    weight = busy * np.exp(-((off / 0.35) ** 2))
    weight += 1e-3  # of a photo without any detail, the subject is the middle
    total = float(weight.sum())
    subject = (float((weight * x).sum()) / total, float((weight * y).sum()) / total)

    middle = np.exp(-((off / 0.3) ** 2))
    cost = busy / (float(busy.mean()) or 1.0) + _MIDDLE * middle + _LOW * (y / rows)
    sums = np.pad(cost.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    cells = (
        min(columns, max(1, round(width * scale))),
        min(rows, max(1, round(height * scale))),
    )
    under = (
        sums[cells[1] :, cells[0] :]
        - sums[: -cells[1], cells[0] :]
        - sums[cells[1] :, : -cells[0]]
        + sums[: -cells[1], : -cells[0]]
    )
    edge = min(round(margin * scale), (under.shape[0] - 1) // 2, (under.shape[1] - 1) // 2)
    inside = under[edge : under.shape[0] - edge, edge : under.shape[1] - edge]
    row, column = np.unravel_index(int(inside.argmin()), inside.shape)
    return Place(
        x=_between(round((int(column) + edge) / scale), margin, photo.width - width - margin),
        y=_between(round((int(row) + edge) / scale), margin, photo.height - height - margin),
        subject=(round(subject[0] / scale), round(subject[1] / scale)),
    )


def _gradient(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    down, across = np.gradient(grey)
    found: NDArray[np.float32] = np.hypot(down, across).astype(np.float32)
    return found


def _between(value: int, low: int, high: int) -> int:
    return max(low, min(value, high)) if high >= low else max(0, (low + high) // 2)
