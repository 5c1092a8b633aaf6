"""The font that draws each character of a line: in the voice asked for, never a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from foodcritic.dishes import Lang
from foodcritic.drawing import fonts, text
from foodcritic.drawing.fonts import Face, Voice
from foodcritic.errors import CaptionError

# What shows nothing and needs no glyph.
_INVISIBLE: Final = frozenset("\u200c\u200d\ufe0e\ufe0f")


def choose(caption: str, voice: Voice, lang: Lang) -> list[tuple[str, Face]]:
    """The clusters of a line, as they can be drawn here, and the font that draws each.

    Raises:
        CaptionError: no font draws one of its characters (`no_glyph`), or its script needs a
            shaping library that is missing here (`no_shaping`).
    """
    chain = fonts.chain(voice, text.local(caption, lang))
    chosen: list[tuple[str, Face]] = []
    missing: list[str] = []
    clusters = text.clusters(caption)
    for at, cluster in enumerate(clusters):
        if text.is_complex(cluster) and not fonts.RAQM:
            raise CaptionError(
                "no_shaping",
                f"{cluster!r} is of a script that takes FriBiDi to draw: install libfribidi",
            )
        beside = next((face for _, face in reversed(chosen) if not face.colour), None)
        if beside is None or text.is_opening(cluster):
            strong = next((c for c in clusters[at + 1 :] if text.is_letter(c)), None)
            beside = (_face(strong, chain, None) if strong else None) or beside
        shown = cluster if fonts.RAQM else _plain(cluster)
        face = _face(shown, chain, beside)
        if face is None:
            missing.append(cluster)
        else:
            chosen.append((shown, face))
    if missing:
        named = ", ".join(f"{c} ({_codes(c)})" for c in dict.fromkeys(missing[:5]))
        raise CaptionError("no_glyph", f"no font here draws {named}: leave it out")
    return chosen


def _face(cluster: str, chain: Sequence[Face], beside: Face | None) -> Face | None:
    """The font for a cluster: emoji in colour, else the first of the chain that has all of it.

    Digits, spaces and punctuation take the font of the letters beside them.
    """
    if text.is_emoji(cluster):
        chain = (*fonts.emoji(), *chain)
    elif beside is not None and text.is_shared(cluster):
        chain = (beside, *chain)
    else:
        chain = (*chain, *fonts.emoji())
    return next((face for face in chain if _has(face, cluster)), None)


def _has(face: Face, cluster: str) -> bool:
    covered = fonts.coverage(face.path)
    return all(ord(char) in covered for char in cluster if char not in _INVISIBLE)


def _plain(cluster: str) -> str:
    """A cluster as far as it can be drawn without shaping: the first emoji of a sequence."""
    if text.is_emoji(cluster):
        return cluster[0]
    return "".join(char for char in cluster if char not in _INVISIBLE)


def _codes(cluster: str) -> str:
    return " ".join(f"U+{ord(char):04X}" for char in cluster[:4])
