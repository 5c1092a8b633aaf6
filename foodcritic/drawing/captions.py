"""The captions in a model's answer, and which of them is drawn.

Explainable on purpose: a caption earns points for its length, for naming the dish, for a turn (a
pause in the middle) and loses some for what reads like no caption. The first of the best wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import regex

from foodcritic import dishes
from foodcritic.critique import Candidate
from foodcritic.dishes import Dish, Lang
from foodcritic.drawing import faces, text
from foodcritic.errors import CaptionError

#: How many a model is asked for.
COUNT: Final = 3
#: Lengths that read at a glance: Chinese characters, English words.
GLANCE: Final[dict[Lang, range]] = {"zh": range(5, 21), "en": range(3, 13)}

_LABEL: Final = regex.compile(
    r"^(?:[-*•·–—]\s+|\(?\d{1,2}[.)、）:：]\s*|[①②③④⑤]\s*|(?:caption|文案|字幕|台词)\s*\d*\s*[:：]\s*)+",
    regex.IGNORECASE,
)
_QUOTES: Final = (('"', '"'), ("“", "”"), ("「", "」"), ("『", "』"), ("《", "》"), ("'", "'"))
_PREAMBLE: Final = regex.compile(r"[:：]$")


def read(answer: str) -> tuple[str, ...]:
    """The captions of an answer, one a line, without numbers, bullets, bold and quotation marks.

    Only what can be drawn, each once, at most `COUNT`; () when there is none. Half a character
    (a model of bytes may write one) could be drawn, as a question mark.
    """
    found: dict[str, None] = {}
    for line in answer.splitlines():
        caption = _bare(line)
        whole = "\ufffd" not in caption and not _PREAMBLE.search(caption)
        if whole and is_drawable(caption):
            found.setdefault(caption)
    return tuple(found)[:COUNT]


def best(captions: Sequence[str], lang: Lang, candidates: Sequence[Candidate] = ()) -> str | None:
    """The caption to draw, by `points`; None when there are none."""
    dish = next((known for c in candidates[:1] if (known := dishes.find(c.name("en")))), None)
    return max(captions, key=lambda caption: points(caption, lang, dish), default=None)


def points(caption: str, lang: Lang, dish: Dish | None = None) -> int:
    """What speaks for a caption: 3 for its length, 2 for the dish, 1 for an ingredient, 1 for a
    turn; 3 against one that needs more than four lines of a glance.
    """
    clusters = text.clusters(caption)
    length = len(clusters) if lang == "zh" else len(caption.split())
    earned = 3 * (length in GLANCE[lang]) - 3 * (length > 2 * GLANCE[lang].stop)
    said = caption.casefold()
    if dish is not None:
        names = (dish.name_zh, dish.name_en, *dish.aliases)
        earned += 2 * any(name.casefold() in said for name in names)
        earned += any(item.casefold() in said for item in dish.items("ingredients", lang))
    inner = clusters[2:-2]
    return earned + any(cluster in "，、,;；:：—…?？!！" for cluster in inner)


def is_drawable(caption: str) -> bool:
    """Whether our fonts draw all of it."""
    try:
        for line in text.clean(caption).split("\n"):
            faces.choose(line, "headline", "en")
    except CaptionError:
        return False
    return True


def _bare(line: str) -> str:
    bare = _LABEL.sub("", line.strip().replace("**", "").replace("__", "")).strip()
    for opening, closing in _QUOTES:
        if len(bare) > 2 and bare.startswith(opening) and bare.endswith(closing):
            bare = bare[1:-1].strip()
    return bare
