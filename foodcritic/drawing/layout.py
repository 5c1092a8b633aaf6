"""Text set into a box: a font for every character, lines broken where their language allows, and
the largest size at which all of it fits.

```
 caption ─▶ words ─▶ widths at 100 px ─▶ size by bisection ─▶ balanced lines ─▶ runs of one font
```

Widths grow with the size, so they are measured once; the size found is then measured for real.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from foodcritic.dishes import Lang
from foodcritic.drawing import bidi, fonts, words
from foodcritic.drawing.fonts import Face, Voice

# Below this share of the largest size, a word is rather broken than everything made smaller.
_BREAK_BELOW: Final = 0.6
# Fewer or better lines are worth making the text this much smaller.
_FEWER: Final = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Text of one font and direction, as it stands on a line."""

    text: str
    face: Face
    #: From the line's left end to where the run begins, in pixels.
    x: float
    rtl: bool = False

    @property
    def direction(self) -> str | None:
        """For Pillow, which takes a direction only where it can shape."""
        return ("rtl" if self.rtl else "ltr") if fonts.RAQM else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: its runs from left to right, and what its ink covers, in pixels."""

    runs: tuple[Run, ...]
    #: Of the ink, from the line's left end; y from the baseline, up is negative.
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines of one size, each `pitch` pixels below the one before."""

    size: int
    lines: tuple[Line, ...]
    pitch: float

    @property
    def width(self) -> float:
        """Of the widest line's ink."""
        return max(line.right - line.left for line in self.lines)

    @property
    def height(self) -> float:
        """From the ink's top to its bottom."""
        tops = [n * self.pitch + line.top for n, line in enumerate(self.lines)]
        bottoms = [n * self.pitch + line.bottom for n, line in enumerate(self.lines)]
        return max(bottoms) - min(tops)

    @property
    def ascent(self) -> float:
        """From the ink's top to the first line's baseline."""
        return -min(n * self.pitch + line.top for n, line in enumerate(self.lines))


def fit(
    caption: str,
    voice: Voice,
    lang: Lang,
    width: float,
    height: float,
    *,
    largest: int,
    smallest: int = 10,
    leading: float = 1.2,
    most_lines: int = 99,
) -> Block | None:
    """The cleaned caption as large as it fits into the box; None if not even at `smallest`.

    A little smaller on fewer lines is better. `largest` and `smallest` are sizes in pixels,
    `leading` the pitch of lines in sizes.

    Raises:
        CaptionError: no font draws one of its characters (`no_glyph`), or its script needs a
            shaping library that is missing here (`no_shaping`).
    """
    paragraphs = [words.measured(line, voice, lang) for line in caption.split("\n")]
    box = (width, height, leading)
    floor = max(smallest, int(largest * _BREAK_BELOW))
    block = _fit(paragraphs, box, largest, floor, most_lines)
    if block is None:
        broken = [[part for word in some for part in words.split(word)] for some in paragraphs]
        return _fit(broken, box, largest, smallest, most_lines)
    if len(block.lines) == len(paragraphs):
        return block
    # One size smaller is a low price for lines that end where a reader pauses, or for fewer lines.
    least = max(smallest, round(_FEWER * block.size))
    phrases = [words.phrases(some) for some in paragraphs]
    block = _fit(phrases, box, largest, least, len(block.lines)) or block
    return _fit(phrases, box, largest, least, len(block.lines) - 1) or block


def _fit(
    paragraphs: Sequence[Sequence[words.Word]],
    box: tuple[float, float, float],
    largest: int,
    smallest: int,
    most_lines: int,
) -> Block | None:
    width, height, leading = box

    def fits(size: int) -> bool:
        limit = width * words.REFERENCE / size
        lines = [line for some in paragraphs for line in words.wrap(some, limit)]
        tall = ((len(lines) - 1) * leading + 1.0) * size
        return (
            tall <= height
            and len(lines) <= most_lines
            and all(words.width(line) <= limit for line in lines)
        )

    size = _largest(smallest, largest, fits)
    while size >= smallest:
        if not fits(size):
            size -= 1
            continue
        limit = width * words.REFERENCE / size
        lines = [line for some in paragraphs for line in words.even(some, limit)]
        block = _set(lines, size, leading)
        if block.width <= width and block.height <= height:
            return block
        # Piled accents are taller than a line: as much smaller as they stand out.
        size = min(size - 1, int(size * min(width / block.width, height / block.height)))
    return None


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest whole number from low to high that fits, low - 1 if none does."""
    low -= 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _set(lines: Sequence[Sequence[words.Word]], size: int, leading: float) -> Block:
    """Lines of words as lines of runs, with real measures."""
    made = []
    for some in lines:
        clusters = [pair for word in some for pair in word.clusters]
        while len(clusters) > 1 and clusters[-1][0] == " ":
            clusters.pop()
        made.append(_line(clusters, size))
    return Block(size=size, lines=tuple(made), pitch=size * leading)


def _line(clusters: Sequence[tuple[str, Face]], size: int) -> Line:
    levels = bidi.levels([cluster for cluster, _ in clusters])
    runs = words.runs([(c, face, level) for (c, face), level in zip(clusters, levels, strict=True)])
    placed = []
    x = 0.0
    boxes = []
    for joined, face, level in bidi.reordered(runs):
        run = Run(text=joined, face=face, x=x, rtl=bool(level % 2))
        font = fonts.font(face, size)
        box = font.getbbox(joined, anchor="ls", direction=run.direction)
        boxes.append((x + box[0], box[1], x + box[2], box[3]))
        placed.append(run)
        x += font.getlength(joined, direction=run.direction)
    return Line(
        runs=tuple(placed),
        left=min(box[0] for box in boxes),
        top=min(box[1] for box in boxes),
        right=max(box[2] for box in boxes),
        bottom=max(box[3] for box in boxes),
    )
