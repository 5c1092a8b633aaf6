"""A caption as words, and words as lines: where to break, measured once for all sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from foodcritic.dishes import Lang
from foodcritic.drawing import faces, fonts, text
from foodcritic.drawing.fonts import Face, Voice

#: Pixels at which widths are measured.
REFERENCE: Final = 100
# What a line costs: to be there at all, and to end inside a phrase; the rest of its width squared.
_LINE: Final = 10.0
_RAGGED: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Clusters between which no line ends, with their width at the reference size."""

    clusters: tuple[tuple[str, Face], ...]
    width: float
    #: With the space that ends it.
    advance: float
    #: Whether a line reads well when it ends here.
    good: bool = True


@lru_cache(maxsize=512)
def measured(line: str, voice: Voice, lang: Lang) -> tuple[Word, ...]:
    """A line's words with their fonts and widths; raises as `faces.choose` does."""
    chosen = iter(faces.choose(line, voice, lang))
    good = text.phrases(line, text.local(line, lang))
    words = []
    end = 0
    for word in text.words(line):
        end += sum(map(len, word))
        words.append(_word([next(chosen) for _ in word], good=end in good))
    return tuple(words)


def _word(clusters: Sequence[tuple[str, Face]], *, good: bool) -> Word:
    solid = clusters[:-1] if len(clusters) > 1 and clusters[-1][0] == " " else clusters
    width = _length(solid)
    advance = width if len(solid) == len(clusters) else width + _length(clusters[-1:])
    return Word(clusters=tuple(clusters), width=width, advance=advance, good=good)


def _length(clusters: Iterable[tuple[str, Face]]) -> float:
    return sum(
        fonts.font(face, REFERENCE).getlength(joined)
        for joined, face, _ in runs([(cluster, face, 0) for cluster, face in clusters])
    )


def split(word: Word) -> list[Word]:
    """A word as its single clusters, for where no line can hold it whole."""
    pairs = list(word.clusters)
    space = [pairs.pop()] if len(pairs) > 1 and pairs[-1][0] == " " else []
    groups = [[pair] for pair in pairs]
    groups[-1] += space
    last = len(groups) - 1
    return [_word(group, good=word.good and at == last) for at, group in enumerate(groups)]


def phrases(words: Sequence[Word]) -> list[Word]:
    """The words joined to pieces that all end well."""
    joined: list[Word] = []
    for word in words:
        if joined and not joined[-1].good:
            last = joined.pop()
            word = Word(
                clusters=last.clusters + word.clusters,
                width=last.advance + word.width,
                advance=last.advance + word.advance,
                good=word.good,
            )
        joined.append(word)
    return joined


def wrap(words: Sequence[Word], limit: float) -> list[list[Word]]:
    """Greedily, as many words to a line as it holds."""
    lines: list[list[Word]] = [[]]
    used = 0.0
    for word in words:
        if lines[-1] and used + word.width > limit:
            lines.append([])
            used = 0.0
        lines[-1].append(word)
        used += word.advance
    return lines


def width(line: Sequence[Word]) -> float:
    """Of a line of words, at the reference size."""
    return sum(word.advance for word in line[:-1]) + line[-1].width


def even(words: Sequence[Word], limit: float) -> list[list[Word]]:
    """As few lines as `wrap` makes, but as even and as well broken as can be.

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
    lines: list[list[Word]] = []
    end = len(words)
    while end:
        start = best[end][1]
        lines.append(list(words[start:end]))
        end = start
    return lines[::-1]


def runs(clusters: Iterable[tuple[str, Face, int]]) -> list[tuple[str, Face, int]]:
    """Neighbours of one face and level joined."""
    joined: list[tuple[str, Face, int]] = []
    for cluster, face, level in clusters:
        if joined and joined[-1][1:] == (face, level):
            joined[-1] = (joined[-1][0] + cluster, face, level)
        else:
            joined.append((cluster, face, level))
    return joined
