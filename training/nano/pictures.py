"""Pictures for the dialogues: views of photos, how a photo is lit, and drawings without food."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

#: Pixels on a side of what is written: from the packs' 64 up to 112.
SMALLEST, LARGEST = 64, 112
#: The sides that are written; few, because photos of one size are enlarged together on the GPU.
SIDES: Final = tuple(range(SMALLEST, LARGEST + 1, 16))

# Chosen so that about one Food-101 photo in four stands out in one of the four ways.
_DARK, _BRIGHT = 0.30, 0.62
_DULL, _VIVID = 21.0, 76.0


def view(photo: Image.Image, rng: random.Random) -> Image.Image:
    """Another view of a photo: a crop of at least half the area, mirrored, relit, resized."""
    share = rng.uniform(0.5, 1.0)
    ratio = math.exp(rng.uniform(-0.2, 0.2))
    wide = min(1.0, math.sqrt(share * ratio)) * photo.width
    high = min(1.0, math.sqrt(share / ratio)) * photo.height
    left, top = rng.uniform(0, photo.width - wide), rng.uniform(0, photo.height - high)
    side = rng.choice(SIDES)
    seen = photo.resize(
        (side, side), Image.Resampling.BICUBIC, box=(left, top, left + wide, top + high)
    )
    if rng.random() < 0.5:
        seen = ImageOps.mirror(seen)
    if rng.random() < 0.6:
        seen = ImageEnhance.Brightness(seen).enhance(rng.uniform(0.6, 1.35))
    if rng.random() < 0.4:
        seen = ImageEnhance.Color(seen).enhance(rng.uniform(0.5, 1.4))
    if rng.random() < 0.3:
        seen = ImageEnhance.Contrast(seen).enhance(rng.uniform(0.75, 1.25))
    return seen


def light(photo: Image.Image) -> str | None:
    """ "dark", "bright", "dull", "vivid" or None: what stands out in the light of a photo.

    Colourfulness is Hasler and Süsstrunk's (2003). Sharpness is left out on purpose: every photo
    the model learns from is small, so it would learn to call all of them blurred.
    """
    rgb: NDArray[np.float32] = np.asarray(photo.convert("RGB"), dtype=np.float32)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    brightness = float((0.299 * red + 0.587 * green + 0.114 * blue).mean()) / 255
    if brightness < _DARK:
        return "dark"
    if brightness > _BRIGHT:
        return "bright"
    rg, yb = red - green, 0.5 * (red + green) - blue
    spread = math.hypot(float(rg.std()), float(yb.std()))
    colourfulness = spread + 0.3 * math.hypot(float(rg.mean()), float(yb.mean()))
    if colourfulness < _DULL:
        return "dull"
    return "vivid" if colourfulness > _VIVID else None


def no_food(rng: random.Random) -> Image.Image:
    """A drawn picture of anything but food, `SMALLEST`..`LARGEST` pixels square."""
    side = rng.choice(SIDES)
    picture = rng.choice(_DRAWINGS)(rng, side)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, side / 30)))
    if rng.random() < 0.2:
        picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.4, 1.3))
    return picture


def _colour(rng: random.Random, low: int = 0, high: int = 255) -> tuple[int, int, int]:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def _noise_array(rng: random.Random, side: int, cells: int, channels: int) -> Image.Image:
    values = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (cells, cells, channels))
    pixels = values.astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    return image.resize((side, side), rng.choice((0, 2, 3))).convert("RGB")


def _noise(rng: random.Random, side: int) -> Image.Image:
    return _noise_array(rng, side, rng.choice((4, 8, 16, 32, side)), rng.choice((1, 3)))


def _plain(rng: random.Random, side: int) -> Image.Image:
    return Image.new("RGB", (side, side), _colour(rng))


def _gradient(rng: random.Random, side: int) -> Image.Image:
    ramp = Image.radial_gradient("L") if rng.random() < 0.3 else Image.linear_gradient("L")
    mask = ramp.rotate(rng.choice((0, 45, 90, 180, 270))).resize((side, side))
    return Image.composite(_plain(rng, side), _plain(rng, side), mask)


def _stripes(rng: random.Random, side: int) -> Image.Image:
    image = _plain(rng, side)
    draw, step, ink = ImageDraw.Draw(image), rng.randint(3, side // 4), _colour(rng)
    checked = rng.random() < 0.5
    for i in range(0, side, step):
        for j in range(0, side, step):
            if (i // step + (j // step if checked else 0)) % 2:
                draw.rectangle((i, j, i + step - 1, j + step - 1), fill=ink)
    return image.rotate(rng.choice((0, 0, 30, 90)), expand=False)


def _words(rng: random.Random) -> str:
    return " ".join(
        "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 8))) for _ in range(6)
    )


def _page(rng: random.Random, side: int) -> Image.Image:
    light_page = rng.random() < 0.7
    image = Image.new("RGB", (side, side), _colour(rng, *((225, 255) if light_page else (0, 50))))
    ink = _colour(rng, *((0, 90) if light_page else (160, 255)))
    draw, y, step = ImageDraw.Draw(image), rng.randint(2, 8), rng.randint(7, 13)
    while y < side - step:
        if rng.random() < 0.85:
            draw.text((rng.randint(2, 8), y), _words(rng)[: rng.randint(4, side // 5)], fill=ink)
        y += step
    return image


def _screen(rng: random.Random, side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), _colour(rng, 200, 250))
    draw, y = ImageDraw.Draw(image), side // 8
    draw.rectangle((0, 0, side, side // 9), fill=_colour(rng, 20, 160))
    while y < side - 8:
        mine, height = rng.random() < 0.5, rng.randint(7, side // 5)
        left = rng.randint(side // 4, side // 2) if mine else 3
        right = side - 3 if mine else rng.randint(side // 2, side - side // 4)
        bubble = (120, 220, 120) if mine else (255, 255, 255)
        draw.rounded_rectangle((left, y, right, y + height), 3, fill=bubble)
        draw.text((left + 2, y), _words(rng)[: (right - left) // 7], fill=(30, 30, 30))
        y += height + 4
    return image


def _chart(rng: random.Random, side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), _colour(rng, 230, 255))
    draw, bars, ink = ImageDraw.Draw(image), rng.randint(3, 9), _colour(rng, 20, 200)
    step = (side - 12) / bars
    if rng.random() < 0.5:
        for i in range(bars):
            left, top = 8 + i * step, rng.uniform(6, side - 12)
            draw.rectangle((left, top, left + step * 0.7, side - 8), fill=ink)
    else:
        points = [(8 + i * step, rng.uniform(6, side - 10)) for i in range(bars + 1)]
        draw.line(points, fill=ink, width=2)
    draw.line((6, 4, 6, side - 7, side - 4, side - 7), fill=(40, 40, 40))
    return image


def _code(rng: random.Random, side: int) -> Image.Image:
    cells = rng.choice((21, 25, 29))
    bits = np.random.default_rng(rng.getrandbits(32)).integers(0, 2, (cells, cells)) * 255
    code = Image.fromarray(bits.astype(np.uint8)).convert("RGB").resize((side - 12, side - 12), 0)
    image = Image.new("RGB", (side, side), "white")
    image.paste(code, (6, 6))
    draw, eye = ImageDraw.Draw(image), 7 * (side - 12) // cells
    for x, y in ((6, 6), (side - 6 - eye, 6), (6, side - 6 - eye)):
        draw.rectangle((x, y, x + eye, y + eye), fill="black")
        draw.rectangle((x + 2, y + 2, x + eye - 2, y + eye - 2), fill="white")
        draw.rectangle((x + 4, y + 4, x + eye - 4, y + eye - 4), fill="black")
    return image


def _person(rng: random.Random, side: int) -> Image.Image:
    image = _gradient(rng, side)
    draw = ImageDraw.Draw(image)
    skin = rng.choice(((244, 208, 177), (224, 172, 105), (141, 85, 36), (198, 134, 66)))
    for _ in range(rng.choice((1, 1, 2, 3))):
        x, head = rng.uniform(0.25, 0.75) * side, rng.uniform(0.08, 0.2) * side
        y = rng.uniform(0.2, 0.45) * side
        body = (x - 2.2 * head, y + 1.2 * head, x + 2.2 * head, side * 1.4)
        draw.ellipse(body, fill=_colour(rng))
        draw.ellipse((x - head, y - 1.3 * head, x + head, y + 1.3 * head), fill=skin)
        draw.pieslice(
            (x - 1.1 * head, y - 1.5 * head, x + 1.1 * head, y + 0.9 * head),
            180,
            360,
            fill=_colour(rng, 0, 110),
        )
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, side / 25)))


def _landscape(rng: random.Random, side: int) -> Image.Image:
    sky = Image.composite(
        Image.new("RGB", (side, side), _colour(rng, 150, 255)),
        Image.new("RGB", (side, side), (rng.randint(40, 140), rng.randint(110, 180), 235)),
        Image.linear_gradient("L").resize((side, side)),
    )
    draw, horizon = ImageDraw.Draw(sky), rng.uniform(0.4, 0.75) * side
    for _ in range(rng.randint(0, 4)):
        x, wide, high = rng.uniform(0, side), rng.uniform(15, 50), rng.uniform(10, side / 2)
        peak = [(x - wide, horizon), (x, horizon - high), (x + wide, horizon)]
        draw.polygon(peak, fill=_colour(rng, 60, 140))
    ground = rng.choice(((60, 130, 60), (40, 90, 160), (200, 180, 130), (230, 235, 240)))
    draw.rectangle((0, horizon, side, side), fill=ground)
    return sky.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.5)))


def _building(rng: random.Random, side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), (rng.randint(90, 180), rng.randint(150, 210), 235))
    draw, x = ImageDraw.Draw(image), 0
    while x < side:
        wide, top, wall = rng.randint(12, 40), rng.randint(4, side // 2), _colour(rng, 60, 200)
        draw.rectangle((x, top, x + wide, side), fill=wall)
        glass = _colour(rng, 120, 255)
        for wx in range(x + 3, x + wide - 4, 6):
            for wy in range(top + 3, side - 6, 8):
                draw.rectangle((wx, wy, wx + 3, wy + 4), fill=glass)
        x += wide + rng.randint(0, 3)
    return image


def _shapes(rng: random.Random, side: int) -> Image.Image:
    image = _plain(rng, side)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(2, 8)):
        x, y = (
            sorted((rng.uniform(0, side), rng.uniform(0, side))),
            sorted((rng.uniform(0, side), rng.uniform(0, side))),
        )
        shape = rng.choice((draw.rectangle, draw.line))
        shape((x[0], y[0], x[1], y[1]), fill=_colour(rng))
    return image


def _animal(rng: random.Random, side: int) -> Image.Image:
    image = _landscape(rng, side) if rng.random() < 0.5 else _gradient(rng, side)
    draw, fur = ImageDraw.Draw(image), _colour(rng, 20, 220)
    x, y, head = side / 2, rng.uniform(0.35, 0.5) * side, rng.uniform(0.15, 0.26) * side
    draw.ellipse((x - 1.5 * head, y, x + 1.5 * head, side * 1.3), fill=fur)
    draw.ellipse((x - head, y - head, x + head, y + head), fill=fur)
    for s in (-1, 1):
        ear = [(x + s * head, y - 0.3 * head), (x + s * 0.9 * head, y - 1.6 * head)]
        draw.polygon([*ear, (x + s * 0.2 * head, y - 0.9 * head)], fill=fur)
        eye = (x + s * 0.4 * head - 2, y - 4, x + s * 0.4 * head + 2, y)
        draw.ellipse(eye, fill=(20, 20, 20))
    return image


_DRAWINGS: Final[tuple[Callable[[random.Random, int], Image.Image], ...]] = (
    _noise,
    _plain,
    _gradient,
    _stripes,
    _page,
    _screen,
    _chart,
    _code,
    _person,
    _person,
    _landscape,
    _building,
    _shapes,
    _animal,
)
