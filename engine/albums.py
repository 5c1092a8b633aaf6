"""Follow-ups about an album, for an engine that sees fewer photos at a time than it has.

```
 "Is the second one healthy?" ─▶ photo 2 ─▶ "📷 2/3 …"      what was said of it is its history
 "And how is it made?" ────────▶ photo 2, which was spoken of last
 "Which one is healthier?" ────▶ each in turn, as when the album came
```

A person may write a number, an ordinal or "all", in either language. The model is shown one photo,
so that it is asked about "it": "Is it healthy?".
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from foodcritic.dialogue import Turn
from foodcritic.dishes import Lang
from foodcritic.errors import EngineError

if TYPE_CHECKING:
    from engine import Engine
    from engine.critic import Request

#: Before the answer about a photo, but not before the first critique; and between two.
HEADING: Final = "📷 {number}/{count}\n\n"
NEXT_PHOTO: Final = f"\n\n{HEADING}"

#: Said once a dialogue: what cannot be had, and what can.
_NOTE: Final[dict[Lang, str]] = {
    "zh": "这 {count} 张照片我一次只能看一张，没法互相比较；写“第二张”就只问那一张。",
    "en": (
        "I look at these {count} photos one at a time and cannot compare them; "
        "write “the second one” to ask about that one alone."
    ),
}
_NOTED: Final = re.compile(
    "|".join(re.escape(note).replace(re.escape("{count}"), r"\d+") for note in _NOTE.values())
)
_IT: Final[dict[Lang, str]] = {"zh": "它", "en": "it"}
#: Questions that compare.
_BEST: Final[dict[Lang, re.Pattern[str]]] = {
    "zh": re.compile(
        r"哪一?[张个道盘碗](?:照片|菜)?[更最](?P<what>[\u4e00-\u9fff]{1,6}?)[呢吗啊]?[?？]?$"
    ),
    "en": re.compile(
        r"which (?:(?:one|(?:one )?of (?:them|these)|photo|picture|dish) )?is (?:the )?"
        r"(?:(?P<more>more|most) )?(?P<what>(?(more)\w+|\w+(?:er|est)))\b[ ?.!]*$",
        re.IGNORECASE,
    ),
}
#: What is left of a question that says nothing but which photo.
_BARE: Final = frozenset({"", "it", "whataboutit", "andit", "它", "它呢", "那它", "那它呢"})

_HEADED = re.compile(r"\n*📷 (\d+)/\d+\n+")

_ORDINALS: Final = (
    *("first", "second", "third", "fourth", "fifth"),
    *("sixth", "seventh", "eighth", "ninth", "tenth"),
)
_WORDS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS: Final = "一二三四五六七八九十"

_ORDINAL = rf"(?P<ordinal>{'|'.join(_ORDINALS)}|last|\d{{1,2}}(?:st|nd|rd|th))"
_NOUN = r"(?:one|photo|picture|pic|image|dish|plate|meal|bowl)"
_N = rf"(?P<n>\d{{1,2}}|[{_DIGITS}])"
_PIECE = r"[张个道盘碗份幅款碟锅]"
#: A photo that is named by its place.
_NAMED: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:the |my )?{_ORDINAL} {_NOUN}\b",
        rf"\bthe {_ORDINAL}(?=\s*(?:[?.!,:;]|$))",
        r"\b(?:the )?(?:photo|picture|pic|image|dish|plate) ?(?:no\.? ?|number |# ?)?"
        r"(?P<n>\d{1,2})\b",
        rf"\bnumber (?P<n>\d{{1,2}}|{'|'.join(_WORDS)})\b",
        r"(?<!\w)#(?P<n>\d{1,2})\b",
        r"^\W*(?P<n>\d{1,2})\W*$",
        rf"(?P<back>倒数)?第\s*{_N}\s*(?:{_PIECE}(?!问题|步)(?:照片|图片|图|菜)?|(?=\W*$))",
        rf"(?P<ordinal>最后)一?{_PIECE}(?!问题)(?:照片|图片|图|菜)?",
        rf"(?:照片|图片|图)\s*{_N}(?![\d{_DIGITS}张])",
        rf"{_N}\s*号(?!码)",
    )
)
#: All of them.
_ALL: Final = re.compile(
    r"\b(?:all (?:of )?(?:them|these|those|photos|pictures)|all \w+ (?:photos|pictures|dishes)|both"
    r"|each|every (?:one|photo|picture|dish)|which (?:one|of|photo|picture|dish))\b"
    r"|它们|这些|这几|全部|所有|[每两几](?:一)?[张个道盘]|哪一?[张个道盘]|[三四五六七八九十]张",
    re.IGNORECASE,
)


def seen_by(engine: "Engine", request: "Request") -> list[tuple[str, "Request"]]:
    """The request as the engine can take it, a few photos at a time; and what stands before each.

    Raises:
        EngineError: photos are to be compared that it cannot see together.
    """
    most, count = engine.photos_per_question, len(request.photos)
    if count <= most:
        return [("", request)]
    if request.kind == "choice" and not request.options:
        raise EngineError(f"{engine.model} sees {most} photo(s) at a time and cannot compare them")
    if request.kind == "meme":
        return [("", replace(request, photos=request.photos[:most]))]
    return parts(request, most)


def parts(request: "Request", most: int) -> list[tuple[str, "Request"]]:
    """What is asked, `most` photos at a time, and what stands before each answer."""
    count = len(request.photos)
    groups = [request.photos[start : start + most] for start in range(0, count, most)]
    chosen, unknown = _chosen(request, count)
    numbers = sorted({(number - 1) // most + 1 for number in chosen})
    asked = _without_places(request) if unknown or len(numbers) == 1 else request
    if not numbers:
        asked = replace(asked, question=_of_each(asked.question))
    found: list[tuple[str, Request]] = []
    for number in numbers or range(1, len(groups) + 1):
        # A critique is headed by the name of its dish, which is what reads its first line.
        first = HEADING if numbers or asked.kind == "question" else ""
        heading = NEXT_PHOTO if found else first
        shown = _about(asked, groups[number - 1], number)
        found.append((heading.format(number=number, count=len(groups)), shown))
    note = _NOTE[request.lang].format(count=count)
    compares = asked.question != request.question and not numbers
    told = any(note in turn.answer for turn in request.history)
    told = told or not (request.history or compares)
    if unknown or not (numbers or told):
        found[0] = (f"{note}\n\n{found[0][0]}", found[0][1])
    return found


def places(question: str, count: int) -> tuple[int, ...]:
    """The numbers of the photos, from 1, that a question names; some may be more than `count`."""
    text = unicodedata.normalize("NFKC", question)
    found = (_place(match, count) for named in _NAMED for match in named.finditer(text))
    return tuple(sorted({number for number in found if number > 0}))


def _place(match: re.Match[str], count: int) -> int:
    """The number that a match names."""
    groups = match.groupdict()
    word = (groups.get("ordinal") or groups.get("n") or "").casefold()
    if word in ("last", "最后"):
        return count
    for known in (_ORDINALS, _WORDS, _DIGITS):
        if word in known:
            number = known.index(word) + 1
            break
    else:
        number = int(re.sub(r"\D", "", word))
    return count + 1 - number if groups.get("back") else number


def _chosen(request: "Request", count: int) -> tuple[tuple[int, ...], bool]:
    """The photos a follow-up is about, () for all; and whether it names one that there is not."""
    if not request.history:
        return (), False
    named = places(request.question, count)
    if there := tuple(number for number in named if number <= count):
        return there, False
    if named or _ALL.search(request.question):
        return (), bool(named)
    # The first turn was about them all.
    for turn in reversed(request.history[1:]):
        if there := tuple(number for number in places(turn.question, count) if number <= count):
            return there, False
        if _ALL.search(turn.question):
            break
    return (), False


def _without_places(request: "Request") -> "Request":
    """The same, asked about "it"; a place alone asks what was asked last, once more."""
    turns = tuple(replace(t, question=_it(t.question, request.lang)) for t in request.history)
    question = _it(request.question, request.lang)
    if _is_bare(question):
        question = next((t.question for t in reversed(turns) if not _is_bare(t.question)), "")
        if not question:
            return replace(request, kind="critique", question="", history=())
    return replace(request, question=question, history=turns)


def _is_bare(question: str) -> bool:
    return re.sub(r"[\W_]", "", question).casefold() in _BARE


def _it(question: str, lang: Lang) -> str:
    text = unicodedata.normalize("NFKC", question)
    for named in _NAMED:
        text = named.sub(_IT[lang], text)
    return text[:1].upper() + text[1:]


def _of_each(question: str) -> str:
    """What compares photos as it is asked of one: "Which is the healthiest?", "Is it healthy?"."""
    if match := _BEST["zh"].search(question):
        return f"它{match['what']}吗？"
    match = _BEST["en"].search(question)
    if match is None:
        return question
    word = match["what"]
    if not match["more"]:
        word = re.sub(r"i(?:er|est)$", "y", word)
        word = re.sub(r"([^aeiou])\1(?:er|est)$", r"\1", word)
        word = re.sub(r"(?:er|est)$", "", word)
    return f"Is it {word}?"


def _about(request: "Request", photos: Sequence[object], number: int) -> "Request":
    """The request about some of its photos, with what was said of these."""
    turns = []
    for turn in request.history:
        sections = _sections(turn.answer)
        if number in sections:
            turns.append(Turn(question=turn.question, answer=sections[number]))
    return replace(request, photos=tuple(photos), history=tuple(turns))  # type: ignore[arg-type]


def _sections(answer: str) -> dict[int, str]:
    """What an answer says of each photo, by number; what has no heading is about the first."""
    first, *others = _HEADED.split(answer)
    first = _NOTED.sub("", first).strip()
    found = {1: first} if first else {}
    for number, text in zip(others[::2], others[1::2], strict=True):
        found[int(number)] = text.strip()
    return found
