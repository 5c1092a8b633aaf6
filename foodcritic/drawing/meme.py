"""A caption drawn on a photo, in one of three styles.

top_bottom  white capitals with a black outline, the set-up above and the punch line below
subtitle    a film still: black bars, the line in the lower one
speech      a bubble on a calm place, pointing at the dish
"""

from __future__ import annotations

from typing import Final

from PIL import Image, ImageDraw

from foodcritic.dishes import Lang
from foodcritic.drawing import calm, layout, paint, text
from foodcritic.drawing.layout import Block
from foodcritic.errors import CaptionError
from foodcritic.prompts import MemeStyle

#: Pixels on the longer side of the photo in a meme; smaller ones are enlarged to the second.
LONGEST: Final = 1280
SHORTEST: Final = 640
#: Longer or wider photos come between bars.
RATIO: Final = 3.0

WHITE: Final = (255, 255, 255)
INK: Final = (20, 18, 16)
BLACK: Final = (0, 0, 0)
#: Film subtitles are a little yellow.
SUBTITLE: Final = (255, 247, 220)

# The bars of a film, in widths of the picture; the lower one grows with a long line.
_ABOVE: Final = 0.075
BELOW: Final = (0.155, 0.24, 0.4)
# A set-up shorter than this needs no second place.
_SHORT: Final = 8
# What ends a set-up and is not drawn, and what is.
_PAUSES: Final = "，、,;；:：—–"
_STOPS: Final = "。.!！?？…~～"


def draw(
    photo: Image.Image, caption: str, style: MemeStyle = "top_bottom", lang: Lang = "en"
) -> Image.Image:
    """The meme, in RGB, at most `LONGEST` pixels wide.

    Raises:
        CaptionError: the caption is empty or too long, or no font here draws it.
    """
    cleaned = text.clean(caption)
    image = paint.padded(paint.fitted(photo, LONGEST, SHORTEST), RATIO, INK)
    match style:
        case "top_bottom":
            return _top_bottom(image, cleaned, lang)
        case "subtitle":
            return _subtitle(image, cleaned, lang)
        case "speech":
            return _speech(image, cleaned, lang)


def halves(caption: str) -> tuple[str, str]:
    """The set-up for the top and the punch line for the bottom; a short caption has no set-up.

    Cut at the caption's own line break, else at the pause nearest to the middle, else at a space
    there.
    """
    first, *others = caption.split("\n")
    if others:
        return first, "\n".join(others)
    clusters = text.clusters(caption)
    if _wide(caption) < _SHORT:
        return "", caption
    middle = len(clusters) / 2
    cuts = [
        (at, cluster)
        for at, cluster in enumerate(clusters[:-1], 1)
        if (cluster in _PAUSES or cluster in _STOPS)
        # 3.14, 8:30 and half-way through ... are no pauses
        and (clusters[at] == " " if cluster.isascii() else clusters[at] not in _STOPS)
        and 0.2 <= at / len(clusters) <= 0.8
    ]
    if not cuts and _wide(caption) >= 2 * _SHORT:
        cuts = [
            (at, cluster)
            for at, cluster in enumerate(clusters, 1)
            if cluster == " " and 0.3 <= at / len(clusters) <= 0.7
        ]
    if not cuts:
        return "", caption
    at, cluster = min(cuts, key=lambda cut: abs(cut[0] - middle))
    top, bottom = "".join(clusters[:at]).strip(), "".join(clusters[at:]).strip()
    if cluster in _PAUSES:
        top, bottom = top.rstrip(_PAUSES + " "), bottom.lstrip(_PAUSES + " ")
    return top, bottom


def _wide(caption: str) -> float:
    """Its length, in widths of a Chinese character."""
    return sum(
        1.0 if text.is_ideographic(cluster) or text.is_emoji(cluster) else 0.5
        for cluster in text.clusters(caption)
    )


def _top_bottom(image: Image.Image, caption: str, lang: Lang) -> Image.Image:
    width, height = image.size
    margin = round(0.035 * min(width, height)) + 2
    largest = round(0.15 * min(width, height * 1.2))
    stroke = max(2, round(largest * 0.055))
    space = (width - 2 * (margin + stroke), height * 0.36 - 2 * stroke)

    def block(part: str, most: int) -> Block:
        return _fitted(
            layout.fit(part.upper(), "headline", lang, *space, largest=most, leading=1.16)
        )

    top, bottom = halves(caption)
    blocks = [block(part, largest) if part else None for part in (top, bottom)]
    if blocks[0] and blocks[1]:  # two voices of one picture are of nearly one size
        most = round(1.3 * min(blocks[0].size, blocks[1].size))
        blocks = [
            b if b and b.size <= most else block(part, most)
            for b, part in zip(blocks, (top, bottom), strict=True)
        ]
    for at, made in enumerate(blocks):
        if made is None:
            continue
        line = max(2, round(made.size * 0.065))
        y = margin + line if at == 0 else height - margin - line - made.height
        paint.block(image, made, width / 2, y, fill=WHITE, outline=BLACK, stroke=line)
    return image


def film(image: Image.Image, below: float) -> tuple[Image.Image, int]:
    """A still with bars above and `below` (in widths), within LONGEST; where the lower begins."""
    shrink = LONGEST / max(image.width, image.height + (_ABOVE + below) * image.width)
    if shrink < 1:
        size = (round(image.width * shrink), round(image.height * shrink))
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    width = image.width
    above, under = int(_ABOVE * width), int(below * width)
    still = Image.new("RGB", (width, image.height + above + under), BLACK)
    still.paste(image, (0, above))
    return still, above + image.height


def _subtitle(image: Image.Image, caption: str, lang: Lang) -> Image.Image:
    block = None
    for below in BELOW:
        still, bar = film(image, below)
        width, room = still.width, still.height - bar
        block = layout.fit(
            caption, "subtitle", lang, width * 0.9, room * 0.8,
            largest=round(width * 0.05), leading=1.28,
        )  # fmt: skip
        if block is not None:
            break
    block = _fitted(block)
    paint.block(still, block, width / 2, bar + (room - block.height) / 2, fill=SUBTITLE)
    return still


def _speech(image: Image.Image, caption: str, lang: Lang) -> Image.Image:
    width, height = image.size
    margin = round(0.03 * min(width, height))
    largest = round(0.062 * min(width, 1.3 * height))
    smallest = max(12, round(0.55 * largest))
    block = None
    for across, down, least in ((0.46, 0.26, smallest), (0.58, 0.38, smallest), (0.84, 0.62, 10)):
        block = layout.fit(
            caption, "bold", lang, width * across, height * down,
            largest=max(largest, 14), smallest=least, leading=1.28,
        )  # fmt: skip
        if block is not None:
            break
    block = _fitted(block)
    pad = (round(block.size * 0.85), round(block.size * 0.7))
    size = (round(block.width) + 2 * pad[0], round(block.height) + 2 * pad[1])
    tail = round(block.size * 1.1)
    place = calm.find(image, *size, margin)
    _bubble(image, place, size, block.size * 0.75, tail)
    centre = place.x + size[0] / 2
    paint.block(image, block, centre, place.y + (size[1] - block.height) / 2, fill=INK)
    return image


def _bubble(
    image: Image.Image, place: calm.Place, size: tuple[int, int], radius: float, tail: int
) -> None:
    """A white box with round corners, a tail towards the subject and a thin dark edge."""
    around = tail + 4
    area = (size[0] + 2 * around, size[1] + 2 * around)
    s = paint.SMOOTH
    edge = max(2, round(radius * 0.09))
    masks = []
    for grow in (edge, 0):
        mask = Image.new("L", (area[0] * s, area[1] * s))
        pen = ImageDraw.Draw(mask)
        box = [(around - grow) * s, (around - grow) * s,
               (around + size[0] + grow) * s - 1, (around + size[1] + grow) * s - 1]  # fmt: skip
        pen.rounded_rectangle(box, (radius + grow) * s, fill=255)
        points = _tail(place, size, radius, tail)
        if points:
            scaled = [((x + around) * s, (y + around) * s) for x, y in points]
            pen.polygon(scaled, fill=255)
            if grow:
                pen.line([*scaled, scaled[0]], fill=255, width=2 * grow * s, joint="curve")
        masks.append(mask.reduce(s))
    corner = (place.x - around, place.y - around)
    image.paste(INK, (*corner, corner[0] + area[0], corner[1] + area[1]), masks[0])
    image.paste(WHITE, (*corner, corner[0] + area[0], corner[1] + area[1]), masks[1])


def _tail(
    place: calm.Place, size: tuple[int, int], radius: float, length: int
) -> list[tuple[float, float]]:
    """Base, base and tip of the tail, from the box's corner; [] when the subject lies under it."""
    x, y = place.subject[0] - place.x, place.subject[1] - place.y
    half = length * 0.38
    if y > size[1] or y < 0:
        base = _along(size[0] / 2 + (x - size[0] / 2) * 0.6, size[0], radius + half)
        tip = base + min(max((x - base) * 0.5, -length * 0.7), length * 0.7)
        edge, end = (size[1] - 2, size[1] + length) if y > size[1] else (2, -length)
        return [(base - half, edge), (base + half, edge), (tip, end)]
    if x > size[0] or x < 0:
        base = _along(y, size[1], radius + half)
        edge, end = (size[0] - 2, size[0] + length) if x > size[0] else (2, -length)
        return [(edge, base - half), (edge, base + half), (end, base + half * 0.6)]
    return []


def _along(value: float, side: int, inner: float) -> float:
    """A place on a side of the box, off its corners."""
    return min(max(value, inner), max(inner, side - inner))


def _fitted(block: Block | None) -> Block:
    if block is None:
        raise CaptionError("too_long", "the caption is too long for this picture: shorten it")
    return block
