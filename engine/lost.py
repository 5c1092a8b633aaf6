"""A model that has not understood a question: seen in its first words, and said instead of them.

    pieces ─▶ held back to the end of the first sentence ─▶ sense? ─▶ as they come
                                                          └▶ no ─▶ "I did not quite get that. …"

A small model that is asked what it never learnt falls back on what it says most often, its doubts,
and lists the dish as its own alternative ("Donuts, Donuts and Donuts are possible"), or it breaks
off in the middle of a character. Both are nonsense from any model. An answer that begins well is
not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from foodcritic import critique, dishes
from foodcritic.dishes import Lang
from foodcritic.prompts import Hint

if TYPE_CHECKING:
    from engine.critic import Request

#: Said instead of nonsense.
INSTEAD: Final[dict[Lang, str]] = {
    "zh": "这个问题我没听懂。关于{name}，可以问味道、食材、过敏原、热量、搭配，或者它从哪里来。",
    "en": (
        "I did not quite get that. About {name}, ask me for the taste, the ingredients, allergens, "
        "calories, what goes with it, or where it comes from."
    ),
}
#: Characters that are held back at most: a sentence of a small model.
HELD: Final = 80

_END = re.compile(r"[.。!！?？\n]")
#: Between the names of a list, with another name or two in between.
_LISTED = r"(?:(?:, |、)[^,、.。]{1,40})*?(?:, | and | or |、|和|或|还是)"


def about(request: Request, hint: Hint) -> str:
    """The dish that a question is about beyond doubt, in its language; '' when there is doubt."""
    if request.kind != "question" or hint.unsure or hint.evidence:
        return ""
    if hint.candidates:
        return hint.candidates[0].name(request.lang)
    if not request.history:
        return ""
    first = critique.parse(request.history[0].answer)
    named = first.dish_zh if request.lang == "zh" else first.dish_en
    return "" if first.unsure else named or ""


def is_nonsense(text: str) -> bool:
    """Whether a text lists a dish as its own alternative, or holds a broken character."""
    if "\ufffd" in text:
        return True
    names = {name for dish in dishes.mentioned(text) for name in (dish.name_zh, dish.name_en)}
    return any(re.search(f"{re.escape(n)}{_LISTED}{re.escape(n)}", text) for n in names)


async def guarded(
    pieces: AsyncGenerator[str, None], lang: Lang, dish: str
) -> AsyncGenerator[str, None]:
    """The pieces of an answer about `dish` or, where they begin as nonsense, `INSTEAD`."""
    held, sound = "", False
    async with aclosing(pieces):
        async for piece in pieces:
            if sound:
                yield piece
                continue
            held += piece
            ended = _END.search(held)
            if not ended and len(held) < HELD:
                continue
            if is_nonsense(held):
                break
            sound = True
            yield held
    if not sound and held:
        yield INSTEAD[lang].format(name=dish) if is_nonsense(held) else held
