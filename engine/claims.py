"""A person says in words what the dish really is: the answer takes the name as they wrote it.

    "No, it's a bagel" ─▶ "bagel" ─▶ "Thank you, bagel it is." ─▶ the model goes on

A small model cannot repeat a name it never learnt: left alone it would thank for another dish. What
somebody said of a similar photo is named as the source of an answer once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from foodcritic import dishes, prompts
from foodcritic.dishes import Lang
from foodcritic.prompts import Hint

if TYPE_CHECKING:
    from engine.critic import Request

_CLAIM: Final[dict[Lang, re.Pattern[str]]] = {
    "zh": re.compile(
        r"(?:不对|错了|认错了|你认错了|不是|其实|明明)[，,。！! ]*"
        r"(?:这|那|它|图里|图中)?(?:其实|明明)?"
        r"是(?P<name>[^，,。！!？?的了吗]{1,20}?)(?:啊|呀|吧|呢|哦)?[。！!~ ]*"
    ),
    "en": re.compile(
        r"(?:(?:no|nope|wrong|you are wrong|you're wrong)[,.!]* |(?P<actually>actually,? ))"
        r"(?:it|this|that)(?:'s|’s| is) (?P<article>(?:an?|some) )?(?P<name>[^,.!?]{2,40})[.! ]*",
        re.IGNORECASE,
    ),
}
#: How a model of another make says that it goes by a person's word.
_SOURCED: Final = re.compile(r"有人|\b(?:a person|someone|somebody)\b|\btold\b", re.IGNORECASE)
_THANKS: Final[dict[Lang, str]] = {"zh": "谢谢指正，那就是{}。", "en": "Thank you, {} it is."}


def claimed(lang: Lang, text: str) -> str:
    """The dish that a text says it is instead, '' where it says something else."""
    match = _CLAIM[lang].fullmatch(" ".join(prompts.clean(text).split()))
    if match is None:
        return ""
    name = match["name"].strip()
    # "No, it is spicy" names no dish, "No, it is a bagel" and "No, it is pho" do.
    if lang == "en" and not match["article"] and dishes.find(name) is None:
        return ""
    return name


def thanks(lang: Lang, name: str) -> str:
    """How the answer to a claim begins."""
    known = dishes.find(name)
    return _THANKS[lang].format(known.text("name", lang) if known else name)


def source(request: Request, hint: Hint) -> str:
    """The sentence that names the source of a critique or first answer; '' where there is none."""
    if not hint.evidence or request.kind not in ("critique", "question"):
        return ""
    sentence = prompts.source(request.lang, hint.evidence)
    return "" if any(sentence in turn.answer for turn in request.history) else sentence


def sourced(text: str) -> bool:
    """Whether an answer says by itself that it goes by a person's word."""
    return _SOURCED.search(text) is not None
