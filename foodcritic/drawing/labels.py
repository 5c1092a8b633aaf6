"""Fonts for matplotlib, which opens a font of all weights at its thinnest: those of `fonts`, cut.

with families("麻婆豆腐") as names:
    figure.suptitle("麻婆豆腐", family=names)
"""

from __future__ import annotations

import string
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from foodcritic.drawing import fonts

#: What axes say besides: numbers, and matplotlib's minus.
_ALWAYS: Final = frozenset(string.printable) | {"−"}


@contextmanager
def families(text: str) -> Iterator[list[str]]:
    """The families that draw `text`, first come first; matplotlib knows them meanwhile.

    Takes a second. One at a time: its fonts are one list a process.
    """
    from matplotlib.font_manager import fontManager

    left = _ALWAYS | set(text)
    before = len(fontManager.ttflist)
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, face in enumerate(fonts.chain("text", "zh")):
                drawn = {char for char in left if fonts.covers(face, char)}
                if drawn:
                    path = Path(folder) / f"{number}.otf"
                    path.write_bytes(fonts.cut(face, "".join(sorted(drawn))))
                    fontManager.addfont(path)
                    left -= drawn
            yield [*(entry.name for entry in fontManager.ttflist[before:]), "DejaVu Sans"]
        finally:
            del fontManager.ttflist[before:]
