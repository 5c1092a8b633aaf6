"""Text set into a box: a font for every character, lines broken where their language allows, and
the largest size at which all of it fits.

```
 caption ─▶ words ─▶ widths at 100 px ─▶ size by bisection ─▶ balanced lines ─▶ runs of one font
```

Widths grow with the size, so they are measured once; the size found is then measured for real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from foodcritic.dishes import Lang
from foodcritic.drawing import bidi, faces, fonts, text
from foodcritic.drawing.fonts import Face, Voice

#: Pixels at which widths are measured.
_REFERENCE: Final = 100
# Below this share of the largest size, a word is rather broken than everything made smaller.
_BREAK_BELOW: Final = 0.6
# Fewer or better lines are worth making the text this much smaller.
_FEWER: Final = 0.75
# What a line costs: to be there at all, and to end inside a phrase; the rest of its width squared.
_LINE: Final = 10.0
_RAGGED: Final = 0.2


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """Clusters between which no line ends, with their width at the reference size."""

    clusters: tuple[tuple[str, Face], ...]
    width: float
    #: With the space that ends it.
    advance: float
    #: Whether a line reads well when it ends here.
    good: bool = True


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
    paragraphs = [_measured(line, voice, lang) for line in caption.split("\n")]
    box = (width, height, leading)
    floor = max(smallest, int(largest * _BREAK_BELOW))
    block = _fit(paragraphs, box, largest, floor, most_lines)
    if block is None:
        broken = [[part for word in words for part in _split(word)] for words in paragraphs]
        return _fit(broken, box, largest, smallest, most_lines)
    if len(block.lines) == len(paragraphs):
        return block
    # One size smaller is a low price for lines that end where a reader pauses, or for fewer lines.
    least = max(smallest, round(_FEWER * block.size))
    phrases = [_phrases(words) for words in paragraphs]
    block = _fit(phrases, box, largest, least, len(block.lines)) or block
    return _fit(phrases, box, largest, least, len(block.lines) - 1) or block


def _fit(
    paragraphs: Sequence[Sequence[_Word]],
    box: tuple[float, float, float],
    largest: int,
    smallest: int,
    most_lines: int,
) -> Block | None:
    width, height, leading = box

    def fits(size: int) -> bool:
        limit = width * _REFERENCE / size
        lines = [line for words in paragraphs for line in _wrap(words, limit)]
        tall = ((len(lines) - 1) * leading + 1.0) * size
        return (
            tall <= height
            and len(lines) <= most_lines
            and all(_width(line) <= limit for line in lines)
        )

    size = _largest(smallest, largest, fits)
    while size >= smallest:
        if not fits(size):
            size -= 1
            continue
        limit = width * _REFERENCE / size
        lines = [line for words in paragraphs for line in _even(words, limit)]
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


@lru_cache(maxsize=512)
def _measured(line: str, voice: Voice, lang: Lang) -> tuple[_Word, ...]:
    chosen = iter(faces.choose(line, voice, lang))
    good = text.phrases(line, text.local(line, lang))
    words = []
    end = 0
    for word in text.words(line):
        end += sum(map(len, word))
        words.append(_word([next(chosen) for _ in word], good=end in good))
    return tuple(words)


def _word(clusters: Sequence[tuple[str, Face]], *, good: bool) -> _Word:
    solid = clusters[:-1] if len(clusters) > 1 and clusters[-1][0] == " " else clusters
    width = _length(solid)
    advance = width if len(solid) == len(clusters) else width + _length(clusters[-1:])
    return _Word(clusters=tuple(clusters), width=width, advance=advance, good=good)


def _length(clusters: Iterable[tuple[str, Face]]) -> float:
    return sum(
        fonts.font(face, _REFERENCE).getlength(joined)
        for joined, face, _ in _runs([(cluster, face, 0) for cluster, face in clusters])
    )


def _split(word: _Word) -> list[_Word]:
    """A word as its single clusters, for where no line can hold it whole."""
    pairs = list(word.clusters)
    space = [pairs.pop()] if len(pairs) > 1 and pairs[-1][0] == " " else []
    groups = [[pair] for pair in pairs]
    groups[-1] += space
    last = len(groups) - 1
    return [_word(group, good=word.good and at == last) for at, group in enumerate(groups)]


def _phrases(words: Sequence[_Word]) -> list[_Word]:
    """The words joined to pieces that all end well."""
    joined: list[_Word] = []
    for word in words:
        if joined and not joined[-1].good:
            last = joined.pop()
            word = _Word(
                clusters=last.clusters + word.clusters,
                width=last.advance + word.width,
                advance=last.advance + word.advance,
                good=word.good,
            )
        joined.append(word)
    return joined


def _wrap(words: Sequence[_Word], limit: float) -> list[list[_Word]]:
    """Greedily, as many words to a line as it holds."""
    lines: list[list[_Word]] = [[]]
    used = 0.0
    for word in words:
        if lines[-1] and used + word.width > limit:
            lines.append([])
            used = 0.0
        lines[-1].append(word)
        used += word.advance
    return lines


def _width(line: Sequence[_Word]) -> float:
    return sum(word.advance for word in line[:-1]) + line[-1].width


def _even(words: Sequence[_Word], limit: float) -> list[list[_Word]]:
    """As few lines as `_wrap` makes, but as even and as well broken as can be.

    Minimises the squared rest of every line, as Knuth and Plass do for a paragraph.
    """
    best = [(0.0, 0)] + [(float("inf"), 0)] * len(words)
    for end in range(1, len(words) + 1):
        broken = 0.0 if words[end - 1].good or end == len(words) else _RAGGED
        used = words[end - 1].width
        for start in range(end - 1, -1, -1):
            if start < end - 1:
                used += words[start].advance
            if used > limit and start < end - 1:
                break
            rest = max(0.0, 1 - used / limit)
            cost = best[start][0] + rest * rest + broken + _LINE
            if cost < best[end][0]:
                best[end] = (cost, start)
    lines: list[list[_Word]] = []
    end = len(words)
    while end:
        start = best[end][1]
        lines.append(list(words[start:end]))
        end = start
    return lines[::-1]


def _set(lines: Sequence[Sequence[_Word]], size: int, leading: float) -> Block:
    """Lines of words as lines of runs, with real measures."""
    made = []
    for words in lines:
        clusters = [pair for word in words for pair in word.clusters]
        while len(clusters) > 1 and clusters[-1][0] == " ":
            clusters.pop()
        made.append(_line(clusters, size))
    return Block(size=size, lines=tuple(made), pitch=size * leading)


def _line(clusters: Sequence[tuple[str, Face]], size: int) -> Line:
    levels = bidi.levels([cluster for cluster, _ in clusters])
    runs = _runs([(c, face, level) for (c, face), level in zip(clusters, levels, strict=True)])
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


def _runs(clusters: Iterable[tuple[str, Face, int]]) -> list[tuple[str, Face, int]]:
    runs: list[tuple[str, Face, int]] = []
    for cluster, face, level in clusters:
        if runs and runs[-1][1:] == (face, level):
            runs[-1] = (runs[-1][0] + cluster, face, level)
        else:
            runs.append((cluster, face, level))
    return runs
