"""The score card: a critique as one picture to share.

photo, to the edges
dish, its other name, cuisine                  score in a ring
“one line of the critique”
foodcritic
"""

from __future__ import annotations

import math
from typing import Final

import regex
from PIL import Image, ImageDraw

from foodcritic.critique import Critique
from foodcritic.dishes import Lang
from foodcritic.drawing import layout, paint, text
from foodcritic.drawing.fonts import Voice
from foodcritic.drawing.layout import Block
from foodcritic.drawing.paint import Colour
from foodcritic.errors import CaptionError

#: The most a phone shows of a picture in a chat: 4 to 5.
SIZE: Final = (1080, 1350)
PHOTO: Final = 800
MARGIN: Final = 72
RING: Final = 208
#: Between the photo, the ring and the rule.
GAP: Final = 44

PAPER: Final = (253, 249, 242)
INK: Final = (38, 30, 25)
SOFT: Final = (132, 119, 108)
FAINT: Final = (232, 223, 211)
#: From a score of 1: burnt, chilli, saffron, herb.
SCORES: Final[tuple[tuple[int, Colour], ...]] = (
    (3, (148, 58, 48)),
    (5, (205, 84, 49)),
    (7, (224, 150, 40)),
    (10, (74, 133, 80)),
)

_UNSURE: Final[dict[Lang, str]] = {"zh": "不太确定，可能是", "en": "Not sure, perhaps"}
_NO_DISH: Final[dict[Lang, str]] = {"zh": "这不像一道菜", "en": "Not a dish, it seems"}
_FOOTER: Final[dict[Lang, str]] = {"zh": "AI 点评，仅供一笑", "en": "judged by AI, argue freely"}
# Chinese curly quotes would take the shapes of Latin ones.
_QUOTES: Final[dict[Lang, tuple[str, str]]] = {"zh": ("「", "」"), "en": ("“", "”")}
_MARKUP: Final = regex.compile(r"[*_`#>]+|^\s*[-•]\s+", regex.MULTILINE)
_SENTENCE: Final = regex.compile(r".+?(?:[。！？!?…]+[”」]?|\.(?=\s|$)|\n|$)", regex.DOTALL)
#: Clusters of a line that is quoted; Latin letters are half as wide as Chinese ones.
_QUOTED: Final[dict[Lang, range]] = {"zh": range(6, 46), "en": range(12, 111)}


def draw(photo: Image.Image, critique: Critique, lang: Lang = "en") -> Image.Image:
    """The card of a critique, in RGB, `SIZE` pixels. What cannot be drawn of it is left out."""
    card = Image.new("RGB", SIZE, PAPER)
    card.paste(paint.cropped(photo, SIZE[0], PHOTO), (0, 0))
    if critique.score is not None:
        _ring(card, critique.score)
    wide = SIZE[0] - 2 * MARGIN
    beside = wide - RING - 40 if critique.score is not None else wide
    heading = _heading(critique, lang, beside)
    tall = sum(made.height + gap for made, _, gap in heading) - (heading[-1][2] if heading else 0)
    y = PHOTO + GAP + max(0.0, (RING - tall) / 2)
    for made, shade, gap in heading:
        paint.block(card, made, MARGIN, y, fill=shade, align="left")
        y += made.height + gap
    y = PHOTO + GAP + max(RING, tall) + GAP - 6
    ImageDraw.Draw(card).line((MARGIN, y, SIZE[0] - MARGIN, y), fill=FAINT, width=2)
    end = _footer(card, lang)
    room = end - y - 2 * 30
    opening, closing = _QUOTES[lang]
    quoted = quote(critique, lang)
    said = (
        _block(f"{opening}{quoted}{closing}", "text", lang, wide, room, 44, smallest=22)
        if quoted
        else None
    )
    if said:
        top = y + 30 + (room - said.height) / 2
        paint.block(card, said, MARGIN, top, fill=INK, align="left")
    return card


def quote(critique: Critique, lang: Lang) -> str:
    """The sentence of the critique that stands on the card: the first of a good length, else ''."""
    plain = _MARKUP.sub("", critique.body)
    fit = _QUOTED[lang]
    for found in _SENTENCE.findall(plain):
        sentence = " ".join(found.split()).strip("“”\"'「」")
        if len(text.clusters(sentence)) in fit and not sentence.endswith((":", "：")):
            return sentence
    return ""


def colour(score: int) -> Colour:
    """Of the ring, for a score of 1..10."""
    return next(shade for most, shade in SCORES if score <= most)


def _heading(critique: Critique, lang: Lang, width: float) -> list[tuple[Block, Colour, float]]:
    """What stands beside the ring, from top to bottom, with the gap below each."""
    names = (critique.dish_zh, critique.dish_en)
    main, other = names if lang == "zh" else names[::-1]
    if main is None:
        main, other = other, None
    lines: list[tuple[Block | None, Colour, float]] = []
    if critique.unsure and main:
        lines.append((_block(_UNSURE[lang], "text", lang, width, 44, 30), SOFT, 20.0))
    name = main or _NO_DISH[lang]
    lines.append((_block(name, "bold", lang, width, 150, 80, smallest=26), INK, 22.0))
    below = " · ".join(part for part in (other, critique.cuisine) if part)
    if below:
        lines.append((_block(below, "text", lang, width, 76, 34, smallest=20), SOFT, 22.0))
    return [(block, shade, gap) for block, shade, gap in lines if block is not None]


def _block(
    content: str,
    voice: Voice,
    lang: Lang,
    width: float,
    height: float,
    largest: int,
    *,
    smallest: int = 18,
) -> Block | None:
    try:
        cleaned = " ".join(text.clean(content).split())
        return layout.fit(
            cleaned, voice, lang, width, height, largest=largest, smallest=smallest, leading=1.34
        )
    except CaptionError:
        return None


def _footer(card: Image.Image, lang: Lang) -> float:
    """Draws the last line; where it begins, in pixels from the top."""
    base = SIZE[1] - 52.0
    y = base
    name = _block("foodcritic", "bold", "en", 400, 40, 28)
    if name:
        y = base - name.ascent
        paint.block(card, name, MARGIN, y, fill=INK, align="left")
    if note := _block(_FOOTER[lang], "text", lang, 400, 40, 25):
        x = SIZE[0] - MARGIN - note.width
        paint.block(card, note, x, base - note.ascent, fill=SOFT, align="left")
    return y


def _ring(card: Image.Image, score: int) -> None:
    """The score as a number in a ring that is filled as far."""
    x, y = SIZE[0] - MARGIN - RING, PHOTO + GAP
    shade = colour(score)
    s = paint.SMOOTH
    large = Image.new("RGB", (RING * s, RING * s), PAPER)
    pen = ImageDraw.Draw(large)
    thick = round(RING * 0.085) * s
    box = (0, 0, RING * s - 1, RING * s - 1)
    pen.arc(box, 0, 360, fill=FAINT, width=thick)
    end = -90 + 36 * score
    pen.arc(box, -90, end, fill=shade, width=thick)
    for angle in (-90, end):  # round ends
        radius = (RING * s - thick) / 2
        cx = RING * s / 2 + radius * math.cos(math.radians(angle))
        cy = RING * s / 2 + radius * math.sin(math.radians(angle))
        pen.ellipse((cx - thick / 2, cy - thick / 2, cx + thick / 2, cy + thick / 2), fill=shade)
    card.paste(large.reduce(s), (x, y))
    number = _block(str(score), "bold", "en", RING, RING, 92)
    of = _block("/ 10", "text", "en", RING, RING, 28)
    if number and of:
        top = y + (RING - number.height - of.height - 14) / 2
        paint.block(card, number, x + RING / 2, top, fill=shade)
        paint.block(card, of, x + RING / 2, top + number.height + 14, fill=SOFT)
