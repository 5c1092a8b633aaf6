"""A critique as a value, and the one definition of its first line, written and read here.

    zh  **日式拉面**（Ramen）· 日本料理 · 8/10
        不太确定：可能是 **日式拉面**（Ramen），也可能是 越南河粉（Pho）· 日本料理 · 6/10
        **这不像一道菜**
    en  **Ramen** (日式拉面) · Japanese · 8/10
        Not sure: perhaps **Ramen** (日式拉面), or Pho (越南河粉) · Japanese · 6/10
        **This does not look like a dish**

`render` writes an answer, `parse` reads one, also when a model of another make bent the format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from foodcritic import dishes
from foodcritic.dishes import Lang

#: An answer names at most this many dishes.
MOST_CANDIDATES: Final = 3

NO_DISH: Final[dict[Lang, str]] = {
    "zh": "**这不像一道菜**",
    "en": "**This does not look like a dish**",
}

# A first line longer than this is prose, and a name longer than this is a sentence.
_LONGEST_HEADER = 400
_LONGEST_NAME = 80

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_NO_DISH = re.compile(
    r"不像(?:是)?一道菜|(?:图[中里]|照片[中里]?|这里)(?:并?没有|看不到)(?:任何)?(?:菜|食物)"
    r"|does(?: not|n't) look like (?:a dish|food)|\b(?:there is|i see) no (?:dish|food)\b",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"不太?确定|不敢(?:肯定|确定)|可能是"
    r"|\b(?:not (?:quite |entirely )?sure|perhaps|might be|may be|maybe)\b",
    re.IGNORECASE,
)
_BOLD = re.compile(r"(?:\*\*|__)\s*([^*_]+?)\s*(?:\*\*|__)")
_SEPARATOR = re.compile(r"\s*[·•・|]\s*|\s+[-–—]{1,2}\s+")
_NAME = re.compile(r"^\s*([^()（）]+?)\s*(?:[(（]\s*([^()（）]+?)\s*[)）])?\s*$")
_ALTERNATIVES = re.compile(r"\s*(?:，?\s*也?可能是|，|、|或者?|,?\s+or\s+|,)\s*", re.IGNORECASE)
_LABEL = re.compile(
    r"^\s*(?:菜名|菜品|菜系|菜|dish(?: name)?|name|cuisine)\s*[:：]\s*", re.IGNORECASE
)
_OF = re.compile(r"(?<![\d./])(\d{1,3}(?:\.\d+)?)\s*(?:/|／|out of|of)\s*(5|10|100)(?![\d/])")
# A bare 分 is not enough: 十分好吃 and 五分熟 are no scores.
_POINTS = re.compile(
    r"(?:(?:评分|打分|得分|分数|score|rating)\s*(?:是|为|of|is)?\s*[:：]?\s*\**\s*"
    r"(\d{1,2}(?:\.\d+)?|[一二三四五六七八九十])(?![\d分钟熟])"
    r"|(?:[给打评得值][了它个出到]{0,2}|\A|(?:评分|打分|得分|分数)\s*(?:是|为)?\s*[:：]?\s*\**)\s*"
    r"(\d{1,2}(?:\.\d+)?|[一二三四五六七八九十])\s*分(?![钟熟饱之甜]))",
    re.IGNORECASE,
)
_ZH_DIGITS = {digit: value for value, digit in enumerate("一二三四五六七八九十", start=1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A dish that a photo may show. At least one of the names is given."""

    name_zh: str | None = None
    name_en: str | None = None
    #: A fraction of 1; None where the engine gives no likelihood.
    probability: float | None = None

    def name(self, lang: Lang) -> str:
        """The name in `lang`, else in the other language, else ''."""
        first, second = self.name_zh, self.name_en
        return (first or second or "") if lang == "zh" else (second or first or "")

    def names(self, lang: Lang) -> tuple[str, str | None]:
        """The name to print in `lang` and, if there is one, the name in the other language."""
        main = self.name(lang)
        other = self.name_en if lang == "zh" else self.name_zh
        return main, None if other == main else other


@dataclass(frozen=True, slots=True, kw_only=True)
class Critique:
    """An answer about one photo, read into fields. No dish: `dish_zh` and `dish_en` are None."""

    dish_zh: str | None = None
    dish_en: str | None = None
    #: In the language of the answer.
    cuisine: str | None = None
    #: 1..10.
    score: int | None = None
    unsure: bool = False
    #: Likeliest first, at most three, the answer's own dish among them.
    candidates: tuple[Candidate, ...] = ()
    #: The whole answer as a person saw it, first line included.
    text: str = ""

    @property
    def body(self) -> str:
        """The text without its first line, or all of it when the first line is no header."""
        head, _, rest = self.text.strip().partition("\n")
        return rest.strip() if _is_header(head) and rest.strip() else self.text.strip()

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps`: the keys that every front end shows."""
        return {
            "dish_zh": self.dish_zh,
            "dish_en": self.dish_en,
            "cuisine": self.cuisine,
            "score": self.score,
            "unsure": self.unsure,
            "candidates": [
                {"name_zh": c.name_zh, "name_en": c.name_en, "probability": c.probability}
                for c in self.candidates
            ],
            "text": self.text,
        }


def render_header(
    lang: Lang,
    candidates: Sequence[Candidate],
    *,
    cuisine: str | None,
    score: int | None,
    unsure: bool = False,
) -> str:
    """The first line of an answer. No candidates: the line that says there is no dish."""
    if not candidates:
        return NO_DISH[lang]
    first, *others = (
        _bilingual(c, lang, bold=i == 0) for i, c in enumerate(candidates[:MOST_CANDIDATES])
    )
    if lang == "zh":
        named = first
        if unsure:
            also = f"，也可能是 {'或 '.join(others)}" if others else ""
            named = f"不太确定：可能是 {first}{also}"
    else:
        named = first
        if unsure:
            named = f"Not sure: perhaps {first}" + (f", or {' or '.join(others)}" if others else "")
    # A full-width bracket already brings its own space.
    gap = "· " if named.endswith("）") else " · "
    tail = [cuisine] if cuisine else []
    if score is not None:
        tail.append(f"{score}/10")
    return named + gap + " · ".join(tail) if tail else named


def begin(
    lang: Lang, candidates: Sequence[Candidate], *, cuisine: str | None, unsure: bool = False
) -> str:
    """The first line as far as it is settled before the model writes: up to the score."""
    header = render_header(lang, candidates, cuisine=cuisine, score=None, unsure=unsure)
    if not candidates:
        return header
    return f"{header}·" if header.endswith("）") else f"{header} ·"


def render(
    lang: Lang,
    candidates: Sequence[Candidate],
    body: str,
    *,
    cuisine: str | None,
    score: int | None,
    unsure: bool = False,
) -> str:
    """A whole answer: the first line, a blank line, the body."""
    header = render_header(lang, candidates, cuisine=cuisine, score=score, unsure=unsure)
    return f"{header}\n\n{body.strip()}" if body.strip() else header


def parse(text: str, candidates: Sequence[Candidate] = ()) -> Critique:
    """Read an answer; never raises, whatever the text.

    `candidates` are what the engine named before, with likelihoods; without them they come from the
    text, with probability None. A text without a header is searched for the dishes we know.
    """
    head = _first_line(text)
    if _NO_DISH.search(head) and not _UNSURE.search(head):
        return Critique(text=text)
    unsure = bool(_UNSURE.search(head))
    named, cuisine, score = _read_header(head)
    if not named:
        named = [
            Candidate(name_zh=dish.name_zh, name_en=dish.name_en)
            for dish in dishes.mentioned(text)[: MOST_CANDIDATES if unsure else 1]
        ]
        if named and cuisine is None and (known := dishes.find(named[0].name("en"))):
            cuisine = known.cuisine_zh if _CJK.search(text) else known.cuisine_en
    if score is None:
        score = _score(text)
    if not named:
        return Critique(
            score=score, unsure=unsure, candidates=tuple(candidates[:MOST_CANDIDATES]), text=text
        )
    first = named[0]
    known_before = list(candidates[:MOST_CANDIDATES])
    if known_before and not any(_same(first, c) for c in known_before):
        known_before = [first, *known_before]
    return Critique(
        dish_zh=first.name_zh,
        dish_en=first.name_en,
        cuisine=cuisine,
        score=score,
        unsure=unsure,
        candidates=tuple((known_before or named)[:MOST_CANDIDATES]),
        text=text,
    )


def _bilingual(candidate: Candidate, lang: Lang, *, bold: bool) -> str:
    main, other = candidate.names(lang)
    shown = f"**{main}**" if bold else main
    if other is None:
        return shown
    return f"{shown}（{other}）" if lang == "zh" else f"{shown} ({other})"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()


def _is_header(line: str) -> bool:
    return bool(_NO_DISH.search(line) and _BOLD.search(line)) or bool(_read_header(line)[0])


def _read_header(line: str) -> tuple[list[Candidate], str | None, int | None]:
    """Dishes, cuisine and score of a first line; no dishes when it is not a header."""
    line = line.lstrip("#> \t").strip()
    bold = _BOLD.search(line)
    if bold is None or len(line) > _LONGEST_HEADER:
        return [], None, None
    inside = bold.group(1)
    # Some models put the whole line in bold: **Ramen (拉面) · Japanese · 8/10**
    rest = line[bold.end() :] if bold.start() == 0 or _UNSURE.search(line) else None
    if rest is None and not _LABEL.match(line[: bold.start()] + " "):
        return [], None, None
    rest = rest if rest is not None else line[bold.end() :]
    parts = _SEPARATOR.split(f"{inside}{rest}".replace("**", "").replace("__", ""))
    names, _, alternatives = _split_names(parts[0])
    first = _candidate(_LABEL.sub("", names))
    if first is None:
        return [], None, None
    named = [first]
    for piece in _ALTERNATIVES.split(alternatives):
        if (other := _candidate(piece)) is not None and len(named) < MOST_CANDIDATES:
            named.append(other)
    score = None
    cuisine = None
    for part in parts[1:]:
        value = _score(part)
        if value is not None:
            score = score if score is not None else value
        elif cuisine is None and part.strip(" *:：。."):
            cuisine = _LABEL.sub("", part.strip(" *:：。."))[:_LONGEST_NAME] or None
    if not _UNSURE.search(line):
        named = named[:1]
    return named, cuisine, score


def _split_names(part: str) -> tuple[str, str, str]:
    """'Ramen (拉面), or Pho (越南河粉)' -> 'Ramen (拉面)', ', or ', 'Pho (越南河粉)'."""
    found = _ALTERNATIVES.search(part)
    if found is None:
        return part, "", ""
    return part[: found.start()], found.group(), part[found.end() :]


def _candidate(piece: str) -> Candidate | None:
    match = _NAME.match(piece.strip(" *:：。.!！"))
    if match is None:
        return None
    main, other = match.group(1).strip(), match.group(2)
    if not main or len(main) > _LONGEST_NAME or _OF.search(main):
        return None
    in_zh = bool(_CJK.search(main))
    name_zh, name_en = (main, None) if in_zh else (None, main)
    if other and len(other) <= _LONGEST_NAME and bool(_CJK.search(other)) != in_zh:
        name_zh, name_en = (main, other.strip()) if in_zh else (other.strip(), main)
    if (name_zh is None or name_en is None) and (dish := dishes.find(main)):
        name_zh, name_en = name_zh or dish.name_zh, name_en or dish.name_en
    return Candidate(name_zh=name_zh, name_en=name_en)


def _same(a: Candidate, b: Candidate) -> bool:
    return bool(
        (a.name_zh and a.name_zh == b.name_zh)
        or (a.name_en and b.name_en and a.name_en.casefold() == b.name_en.casefold())
    )


def _score(text: str) -> int | None:
    """The first score in a text, rounded half up into 1..10; None when there is none."""
    if match := _OF.search(text):
        value = float(match.group(1)) * 10 / int(match.group(2))
    elif match := _POINTS.search(text):
        digits = match.group(1) or match.group(2)
        value = _ZH_DIGITS.get(digits) or float(digits)
    else:
        return None
    score = int(value + 0.5)
    return score if 1 <= score <= 10 else None
