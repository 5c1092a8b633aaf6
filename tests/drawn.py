"""Twenty dishes that exist nowhere but here, drawn: each in as many views as a test wants.

A dish is a plate of its own colour with shapes of its own on it; a view sets it down on another
table, elsewhere, larger or smaller, turned, under another light. No model knows their names.
"""

from __future__ import annotations

import colorsys
import io
import math
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

Colour = tuple[int, int, int]
Pen = ImageDraw.ImageDraw

#: Invented, short, unlike each other.
NAMES: Final = (
    "Moonbell tart",
    "Crimson duvo",
    "Pilgrim's knot",
    "Saffron wimble",
    "Tidewater loaf",
    "Orbit cake",
    "Green lantern",
    "Velvet ladder",
    "Harrow pie",
    "Quillfish",
    "Zebra pudding",
    "Copper nest",
    "Ivory spire",
    "Plum compass",
    "Juno's crown",
    "Ashwood strips",
    "Bluebird mash",
    "Fennix roll",
    "Olive garland",
    "Tangram toast",
)
#: (what is drawn, how many, its hue, its saturation, the hue of the plate or None: white)
_LOOKS: Final = (
    ("ring", 1, 0.14, 0.7, 0.60),
    ("disc", 5, 0.98, 0.9, None),
    ("cross", 3, 0.08, 0.6, 0.33),
    ("star", 4, 0.13, 1.0, 0.83),
    ("bar", 2, 0.58, 0.5, 0.05),
    ("target", 1, 0.85, 0.6, None),
    ("square", 4, 0.35, 0.9, 0.55),
    ("stripes", 6, 0.75, 0.5, None),
    ("wedge", 3, 0.07, 0.8, 0.50),
    ("leaf", 6, 0.52, 0.6, 0.14),
    ("stripes", 5, 0.00, 0.0, 0.95),
    ("arcs", 5, 0.06, 0.7, None),
    ("triangle", 1, 0.12, 0.2, 0.62),
    ("star", 1, 0.80, 0.7, 0.17),
    ("triangle", 6, 0.15, 0.9, 0.00),
    ("bar", 6, 0.09, 0.3, 0.45),
    ("disc", 14, 0.62, 0.8, 0.12),
    ("target", 3, 0.02, 0.7, 0.30),
    ("ring", 6, 0.25, 0.7, 0.92),
    ("square", 2, 0.11, 0.6, 0.66),
)
SIZE: Final = 320


def view(dish: int, number: int) -> bytes:
    """View `number` of the dish `NAMES[dish]`, a JPEG; the same bytes each time."""
    rng = np.random.default_rng([dish, number])
    kind, count, hue, saturation, plate = _LOOKS[dish]
    image = _table(rng)
    dish_image = _dish(kind, count, hue, saturation, plate, rng)
    side = int(SIZE * rng.uniform(0.62, 0.84))
    turned = dish_image.rotate(rng.uniform(0, 360), Image.Resampling.BICUBIC)
    turned = turned.resize((side, round(side * rng.uniform(0.8, 1))), Image.Resampling.LANCZOS)
    place = [int(rng.uniform(0.1, 0.9) * (SIZE - length)) for length in turned.size]
    image.paste(turned, (place[0], place[1]), turned)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.8, 1.2))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _table(rng: np.random.Generator) -> Image.Image:
    """A cloth of large soft patches: what is around a dish differs from view to view."""
    ground = np.array(_colour(rng.uniform(), rng.uniform(0, 0.5), rng.uniform(0.2, 0.9)), float)
    patches = ground + rng.normal(0, 45, (5, 5, 3))
    cloth = Image.fromarray(patches.clip(0, 255).astype(np.uint8))
    return cloth.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def _dish(
    kind: str,
    count: int,
    hue: float,
    saturation: float,
    plate: float | None,
    rng: np.random.Generator,
) -> Image.Image:
    side = 400
    image = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(image)
    rim = _colour(plate or 0, 0 if plate is None else 0.65, 0.95 if plate is None else 0.7)
    pen.ellipse((2, 2, side - 2, side - 2), fill=rim)
    inner: Colour = (rim[0] * 9 // 10, rim[1] * 9 // 10, rim[2] * 9 // 10)
    pen.ellipse((30, 30, side - 30, side - 30), fill=inner)
    start = rng.uniform(0, 1)
    for index in range(count):
        far = 0 if count == 1 else side * (0.24 if count < 7 else 0.12 + 0.16 * (index % 2))
        angle = 2 * math.pi * (start + index / count)
        x, y = side / 2 + far * math.cos(angle), side / 2 + far * math.sin(angle)
        size = side * {1: 0.30, 2: 0.17, 3: 0.15}.get(count, 0.11 if count < 10 else 0.055)
        colour = _colour(hue, saturation, rng.uniform(0.8, 0.95))
        dark = _colour(hue, saturation, 0.35)
        _SHAPES[kind](pen, x, y, size, colour, dark, index)
    return image


def _polygon(
    pen: Pen, x: float, y: float, size: float, corners: int, colour: Colour,
    dark: Colour, inner: float = 1.0,
) -> None:  # fmt: skip
    points = []
    for n in range(corners if inner == 1 else corners * 2):
        angle = 2 * math.pi * n / (corners if inner == 1 else corners * 2) - math.pi / 2
        far = size * (inner if n % 2 and inner != 1 else 1)
        points.append((x + far * math.cos(angle), y + far * math.sin(angle)))
    pen.polygon(points, fill=colour, outline=dark, width=4)


def _box(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
    return x - w, y - h, x + w, y + h


def _ring(pen: Pen, x: float, y: float, s: float, colour: Colour, dark: Colour, _: int) -> None:
    pen.ellipse(_box(x, y, s, s), outline=colour, width=max(6, int(s / 2.5)))


def _target(pen: Pen, x: float, y: float, s: float, colour: Colour, dark: Colour, _: int) -> None:
    for share, tint in ((1, colour), (0.7, dark), (0.4, colour)):
        pen.ellipse(_box(x, y, s * share, s * share), fill=tint)


def _cross(pen: Pen, x: float, y: float, s: float, colour: Colour, dark: Colour, _: int) -> None:
    pen.rectangle(_box(x, y, s, s / 3), fill=colour)
    pen.rectangle(_box(x, y, s / 3, s), fill=colour)


def _stripes(
    pen: Pen, x: float, y: float, s: float, colour: Colour, dark: Colour, index: int
) -> None:
    at = 80 + index * 48
    pen.rectangle((70, at, 330, at + 22), fill=dark if index % 2 else colour)


def _arcs(pen: Pen, x: float, y: float, s: float, colour: Colour, dark: Colour, index: int) -> None:
    pen.arc(
        _box(200, 200, 40 + 22 * index, 40 + 22 * index), index * 70, index * 70 + 230, colour, 12
    )


_SHAPES: Final[dict[str, Any]] = {
    "ring": _ring,
    "target": _target,
    "cross": _cross,
    "stripes": _stripes,
    "arcs": _arcs,
    "disc": lambda pen, x, y, s, c, d, _: pen.ellipse(_box(x, y, s, s), fill=c, outline=d, width=3),
    "bar": lambda pen, x, y, s, c, d, _: pen.rectangle(_box(x, y, s / 2.5, s * 1.3), fill=c),
    "square": lambda pen, x, y, s, c, d, _: _polygon(pen, x, y, s, 4, c, d),
    "triangle": lambda pen, x, y, s, c, d, _: _polygon(pen, x, y, s, 3, c, d),
    "star": lambda pen, x, y, s, c, d, _: _polygon(pen, x, y, s, 5, c, d, 0.45),
    "leaf": lambda pen, x, y, s, c, d, _: pen.ellipse(_box(x, y, s, s / 2.5), fill=c, outline=d),
    "wedge": lambda pen, x, y, s, c, d, i: pen.pieslice(_box(x, y, s, s), i * 90, i * 90 + 120, c),
}


def _colour(hue: float, saturation: float, value: float) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(r * 255), round(g * 255), round(b * 255)
