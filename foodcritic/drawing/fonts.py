"""The fonts we draw with, which characters each covers, and which one draws what.

Anton and Oswald give memes their look; Noto Sans draws every other script, Noto Sans CJK Chinese,
Japanese and Korean, Twemoji colour emoji, and Noto Emoji in one colour the few that are newer.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import numpy as np
from fontTools.ttLib import TTFont
from PIL import ImageFont, features

from foodcritic.drawing.text import Local

#: Raqm shapes Arabic, Indic scripts and composed emoji; Pillow has it where FriBiDi is installed.
RAQM: Final[bool] = bool(features.check("raqm"))

#: headline: a meme's; subtitle: a film's; bold and text: everything else.
Voice = Literal["headline", "subtitle", "bold", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One font at one weight."""

    path: Path
    #: Within a collection.
    index: int = 0
    #: Of a variable font; None: it has one weight.
    weight: int | None = None
    #: Drawn in its own colours, not in ours.
    colour: bool = False


_NOTO: Final = Path(str(files("manimgx_fonts")))
_CJK: Final = Path(str(files("manimgx_fonts_cjk"))) / "NotoSansCJK-VF.otf.ttc"
_ANTON: Final = Face(path=Path(str(files("fontpkg_anton"))) / "files/Anton-Regular.ttf")
_OSWALD: Final = Path(str(files("fontpkg_oswald"))) / "files/Oswald[wght].ttf"
_TWEMOJI: Final = Face(path=Path(__file__).parent / "emoji/Twemoji.ttf", colour=True)

#: Noto Sans CJK's weights go to 900, Noto Sans's to 700.
_WEIGHTS: Final[dict[Voice, tuple[int, int]]] = {
    "headline": (700, 900),
    "subtitle": (600, 600),
    "bold": (700, 700),
    "text": (400, 400),
}
# fmt: off
_SCRIPTS: Final = (
    "Arabic", "Hebrew", "Thai", "Devanagari", "Bengali", "Tamil", "Telugu", "Gujarati", "Gurmukhi",
    "Kannada", "Malayalam", "Oriya", "Sinhala", "Khmer", "Lao", "Myanmar", "Georgian", "Armenian",
    "Ethiopic", "Symbols",
)
# fmt: on
#: The face of the collection whose shapes a language expects of a character that all share.
_LOCAL: Final[dict[Local, int]] = {"ja": 0, "ko": 1, "zh": 2, "en": 2}


@lru_cache(maxsize=32)
def chain(voice: Voice, local: Local) -> tuple[Face, ...]:
    """The faces for text in that voice, the first that covers a character draws it."""
    noto, cjk = _WEIGHTS[voice]
    special = (_ANTON, Face(path=_OSWALD, weight=noto)) if voice == "headline" else ()
    return (
        *special,
        Face(path=_NOTO / "NotoSans[wght].ttf", weight=noto),
        Face(path=_CJK, index=_LOCAL[local], weight=cjk),
        *(Face(path=_NOTO / f"NotoSans{name}[wght].ttf", weight=noto) for name in _SCRIPTS),
    )


@lru_cache(maxsize=1)
def emoji() -> tuple[Face, ...]:
    """The faces for emoji: in colour, else in one."""
    return _TWEMOJI, Face(path=_NOTO / "NotoEmoji[wght].ttf", weight=700)


@lru_cache(maxsize=256)
def font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """The face at a size in pixels."""
    engine = ImageFont.Layout.RAQM if RAQM else ImageFont.Layout.BASIC
    opened = ImageFont.truetype(face.path, size, index=face.index, layout_engine=engine)
    if face.weight is not None:
        opened.set_variation_by_axes([face.weight])
    return opened


def cut(face: Face, text: str) -> bytes:
    """An OpenType font of the characters of `text` alone, at the face's weight.

    For programs that know no weights, such as matplotlib: Noto Sans CJK opens as thin as it goes.
    Takes a second.
    """
    from fontTools import subset
    from fontTools.varLib import instancer

    options = subset.Options(layout_features=[], name_IDs=[1, 2, 4, 6], notdef_outline=True)
    with TTFont(face.path, fontNumber=face.index, lazy=True) as opened:
        subsetter = subset.Subsetter(options)
        subsetter.populate(text=text)
        subsetter.subset(opened)
        if face.weight is not None and "fvar" in opened:
            instancer.instantiateVariableFont(opened, {"wght": face.weight}, inplace=True)
        out = io.BytesIO()
        opened.save(out)
    return out.getvalue()


def covers(face: Face, char: str) -> bool:
    """Whether the face has a glyph of its own for the character."""
    return ord(char) in coverage(face.path)


@lru_cache(maxsize=64)
def coverage(path: Path) -> frozenset[int]:
    """The code points of a font's character map; all faces of Noto Sans CJK share theirs."""
    with TTFont(path, fontNumber=0, lazy=True) as opened:
        table = bytes(opened.reader["cmap"])
        if (found := _format_12(table)) is not None:
            return found
        return frozenset(opened.getBestCmap())


def _format_12(table: bytes) -> frozenset[int] | None:
    """The code points of a cmap's 32-bit subtable, None without one.

    fontTools would name each of Noto Sans CJK's 65,535 glyphs first, which takes a second.
    """
    for n in range(struct.unpack_from(">H", table, 2)[0]):
        platform, encoding, at = struct.unpack_from(">HHI", table, 4 + 8 * n)
        if struct.unpack_from(">H", table, at)[0] == 12 and (platform, encoding) == (3, 10):
            count = struct.unpack_from(">I", table, at + 12)[0]
            groups = np.frombuffer(table, ">u4", 3 * count, at + 16).reshape(-1, 3)
            return frozenset(
                c for first, last, _ in groups.tolist() for c in range(first, last + 1)
            )
    return None
