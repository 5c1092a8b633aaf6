"""A model that has not understood a question: seen in its first words, and said instead of them.

    pieces ─▶ held back to the end of the first sentence ─▶ sense? ─▶ as they come
                                                          └▶ no ─▶ "I did not quite get that. …"

A small model that is asked what it never learnt falls back on what it says most often, its doubts,
and lists the dish as its own alternative ("Donuts, Donuts and Donuts are possible"), or it breaks
off in the middle of a character. Both are nonsense from any model. So is thanking for a dish that
nobody named, or not knowing one that we have all the facts of. An answer that begins well is not
looked at again, and what is said instead is no part of the conversation: the model would copy it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from engine import claims
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
#: The same, where it was only thanks.
WELCOME: Final[dict[Lang, str]] = {
    "zh": "不客气。关于{name}还想知道什么？也可以发下一道菜。",
    "en": "You are welcome. What else about {name}? Or send me the next dish.",
}
_COURTESY = re.compile(
    r"\W*(?:many )?(?:thanks?(?: you)?(?: (?:so|very) much| a lot)?|thx|ok(?:ay)?|great|good|nice"
    r"|cool|(?:多谢|谢谢)(?:你|您|啦|了)?|好(?:的|吧|呀)?|嗯+|哦|不错)?\W*",
    re.IGNORECASE,
)
#: Characters that are held back at most: a sentence of a small model.
HELD: Final = 80

#: How nano takes a dish that a person named, and how it speaks of one that it does not know.
_THANKED = re.compile(
    r"\s*(?:(?:so it is|thank you,) (?P<en>[^,.]{1,60}?)(?:, noted| it is)"
    r"|(?:谢谢指正，那就是|原来是)(?P<zh>[^，。]{1,30}))",
    re.IGNORECASE,
)
_STRANGER = re.compile(
    r"\s*(?:it is not in my book|i know little about it|这道菜不在我的菜谱|我对它了解不多)",
    re.IGNORECASE,
)
#: Half a word of each language, in English; Chinese does so on purpose.
_MIXED = re.compile(r"[a-z][\u4e00-\u9fff]|[\u4e00-\u9fff][a-z]", re.IGNORECASE)
_END = re.compile(r"[.。!！?？\n]")
#: Between the names of a list, with another name or two in between.
_LISTED = r"(?:(?:, |、)[^,、.。]{1,40})*?(?:, | and | or |、|和|或|还是)"


def about(request: Request, hint: Hint) -> str:
    """The dish that a question is about beyond doubt, in its language; '' when there is doubt."""
    if request.kind != "question" or hint.unsure or hint.evidence:
        return ""
    if hint.candidates:
        return hint.candidates[0].name(request.lang)
    for turn in reversed(request.history[1:]):
        if said := claims.claimed(request.lang, turn.question):
            return said
    if not request.history:
        return ""
    first = critique.parse(request.history[0].answer)
    named = first.dish_zh if request.lang == "zh" else first.dish_en
    if not named and len(only := dishes.mentioned(first.text)) == 1:  # it was a question
        named = only[0].text("name", request.lang)
    return "" if first.unsure else named or ""


def is_nonsense(text: str) -> bool:
    """Whether a text lists a dish as its own alternative, or holds a broken character."""
    if "\ufffd" in text:
        return True
    names = {name for dish in dishes.mentioned(text) for name in (dish.name_zh, dish.name_en)}
    return any(re.search(f"{re.escape(n)}{_LISTED}{re.escape(n)}", text) for n in names)


def is_beside(text: str, question: str, dish: str) -> bool:
    """Whether it thanks for a dish that the question does not name, or knows not a known one."""
    if thanked := _THANKED.match(text):
        named = dishes.find(thanked["en"] or thanked["zh"])
        said = (
            (named.name_zh, named.name_en, *named.aliases) if named else thanked.group("en", "zh")
        )
        return not any(name and name.casefold() in question.casefold() for name in said)
    return bool(_STRANGER.match(text)) and dishes.find(dish) is not None


def instead(request: Request, dish: str) -> str:
    """What is said instead of nonsense."""
    texts = WELCOME if _COURTESY.fullmatch(request.question) else INSTEAD
    return texts[request.lang].format(name=dish)


def is_instead(answer: str) -> bool:
    """Whether this was said instead of nonsense."""
    texts = (*INSTEAD.values(), *WELCOME.values())
    return answer.startswith(tuple(text.partition("{")[0] for text in texts))


async def guarded(
    pieces: AsyncGenerator[str, None], request: Request, dish: str
) -> AsyncGenerator[str, None]:
    """The pieces of an answer about `dish` or, where they begin as nonsense, `INSTEAD`."""

    def is_lost(text: str) -> bool:
        mixed = request.lang == "en" and _MIXED.search(text)
        return bool(mixed) or is_nonsense(text) or is_beside(text, request.question, dish)

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
            if is_lost(held):
                break
            sound = True
            yield held
    if not sound and held:
        yield instead(request, dish) if is_lost(held) else held
