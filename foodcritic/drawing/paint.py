"""Set text, rounded boxes and photos onto a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw

from foodcritic.drawing import fonts
from foodcritic.drawing.layout import Block
from foodcritic.errors import FoodcriticError

Colour = tuple[int, int, int]
#: Shapes are drawn so many times larger and then reduced: smooth edges.
SMOOTH = 3
#: Of JPEG: Telegram compresses photos once more.
QUALITY = 88


def block(
    image: Image.Image,
    block: Block,
    x: float,
    y: float,
    *,
    fill: Colour,
    align: Literal["left", "centre"] = "centre",
    outline: Colour | None = None,
    stroke: int = 0,
) -> None:
    """Draw a block: its ink begins at `y`, and at `x`, or is centred there.

    `stroke` is the outline's width in pixels. All outlines lie below all letters.
    """
    draw = ImageDraw.Draw(image)
    placed = []
    for n, line in enumerate(block.lines):
        left = x - (line.left + line.right) / 2 if align == "centre" else x - line.left
        baseline = round(y + block.ascent + n * block.pitch)
        placed += [(run, (round(left + run.x), baseline)) for run in line.runs]
    if outline is not None and stroke:
        for run, at in placed:
            if not run.face.colour:
                draw.text(
                    at,
                    run.text,
                    fill=outline,
                    font=fonts.font(run.face, block.size),
                    anchor="ls",
                    direction=run.direction,
                    stroke_width=stroke,
                )
    for run, at in placed:
        draw.text(
            at,
            run.text,
            fill=fill,
            font=fonts.font(run.face, block.size),
            anchor="ls",
            direction=run.direction,
            embedded_color=run.face.colour,
        )


def fitted(photo: Image.Image, longest: int, shortest: int) -> Image.Image:
    """A copy of the photo whose longer side lies between both numbers of pixels."""
    longer = max(photo.size)
    wanted = min(max(longer, shortest), longest)
    if longer == wanted:
        return photo.convert("RGB") if photo.mode != "RGB" else photo.copy()
    scale = wanted / longer
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    return photo.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def padded(photo: Image.Image, ratio: float, colour: Colour) -> Image.Image:
    """The photo, between bars where its sides differ by more than `ratio`."""
    width = max(photo.width, round(photo.height / ratio))
    height = max(photo.height, round(photo.width / ratio))
    if (width, height) == photo.size:
        return photo
    whole = Image.new("RGB", (width, height), colour)
    whole.paste(photo, ((width - photo.width) // 2, (height - photo.height) // 2))
    return whole


def cropped(photo: Image.Image, width: int, height: int) -> Image.Image:
    """The photo's middle, scaled to fill width x height pixels."""
    ratio = width / height
    if photo.width > photo.height * ratio:
        side = photo.height * ratio
        box = ((photo.width - side) / 2, 0.0, (photo.width + side) / 2, float(photo.height))
    else:
        side = photo.width / ratio
        box = (0.0, (photo.height - side) / 2, float(photo.width), (photo.height + side) / 2)
    return photo.convert("RGB").resize(
        (width, height), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0
    )


def rounded(size: tuple[int, int], radius: float) -> Image.Image:
    """A mask in L: a box of `size` pixels with round corners, smooth."""
    large = Image.new("L", (size[0] * SMOOTH, size[1] * SMOOTH))
    box = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, radius * SMOOTH, fill=255)
    return large.reduce(SMOOTH)


def jpeg(image: Image.Image) -> bytes:
    """The picture as the bytes that are sent."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def save(image: Image.Image, path: Path) -> None:
    """Write the picture in the format its suffix names.

    Raises:
        FoodcriticError: the suffix names none, or the file cannot be written.
    """
    try:
        image.save(path, quality=QUALITY)
    except ValueError as error:
        raise FoodcriticError(f"{path}: end the name in .jpg or .png") from error
    except OSError as error:
        raise FoodcriticError(f"cannot write {path}: {error.strerror or error}") from error
