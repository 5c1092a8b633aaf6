"""Every prompt the product sends to a model, zh and en, and the cleaning of what people type.

    photo ── naming ──▶ model ──▶ [("日式拉面", .71), ("越南河粉", .12)] ── hint ──▶ Hint
    photo + critique | question | choice | meme, Hint ──▶ model ──▶ answer

The hint is one line that tells the model what the first look found, what a person said about a
photo that looks the same, or that there is no dish; without one the model judges for itself.
Everything a person typed passes `clean`, so no control token of a model comes from outside.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from foodcritic import dishes
from foodcritic.critique import MOST_CANDIDATES, Candidate
from foodcritic.dishes import Lang

Tone = Literal["gentle", "frank", "savage"]
#: How a caption is drawn decides how it is written: a joke, a narrator's line, the dish's words.
MemeStyle = Literal["top_bottom", "subtitle", "speech"]

TONES: Final[tuple[Tone, ...]] = get_args(Tone)
MEME_STYLES: Final[tuple[MemeStyle, ...]] = get_args(MemeStyle)

#: XTuner's InternVL dataset trains with exactly this system line and takes no other.
SYSTEM: Final = "You are an AI assistant whose name is InternLM (书生·浦语)."

#: What the naming prompt asks for when nothing is there to eat.
NO_DISH_NAME: Final[dict[Lang, str]] = {"zh": "没有菜", "en": "no dish"}

# Names come from people too; longer ones are not names.
_LONGEST_NAME = 60

_NAMING: Final[dict[Lang, str]] = {
    "zh": "图中是什么菜？只回答菜名；没有菜就回答“没有菜”。",
    "en": 'Which dish is in the photo? Answer with its name only, or "no dish".',
}
_CRITIQUE: Final[dict[Lang, str]] = {
    "zh": (
        "你是美食评论家，请用中文点评图中的菜。第一行写：**菜名**（英文名）· 菜系 · 分数/10；"
        "认不准时写：不太确定：可能是 **菜名**（英文名），也可能是 菜名（英文名）· 菜系 · 分数/10；"
        "没有菜时写：**这不像一道菜**。然后分短段写味道、优点、不足、建议、"
        "估计热量和可能的过敏原，不超过150字。"
    ),
    "en": (
        "You are a food critic. Review the dish in the photo in English. First line: **Name** "
        "(中文名) · cuisine · score/10; if unsure: Not sure: perhaps **Name** (中文名), or Name "
        "(中文名) · cuisine · score/10; if there is no dish: **This does not look like a dish**. "
        "Then short paragraphs: taste, praise, faults, advice, an estimate of kcal and what "
        "allergens it may contain, in at most 120 words."
    ),
}
_TONE: Final[dict[Lang, dict[Tone, str]]] = {
    "zh": {"gentle": "语气温和。", "frank": "", "savage": "语气毒舌。"},
    "en": {"gentle": " Be gentle.", "frank": "", "savage": " Be savage."},
}
_QUESTION: Final[dict[Lang, str]] = {
    "zh": "你是美食评论家，请用中文简短回答关于图中菜的问题。",
    "en": "You are a food critic. Answer briefly, in English, about the dish in the photo.",
}
_ASKED: Final[dict[Lang, str]] = {"zh": "问题：", "en": "Question: "}
_CHOICE: Final[dict[Lang, str]] = {
    "zh": "请回答下面的选择题，先写选项字母，例如“(A)”。",
    "en": 'Answer this multiple-choice question. Begin with the letter, for example "(A)".',
}
_PICTURES: Final[dict[Lang, str]] = {
    "zh": "选项依次是四张图：(A) (B) (C) (D)",
    "en": "The options are the four pictures in order: (A) (B) (C) (D)",
}
_MEME: Final[dict[Lang, dict[MemeStyle, str]]] = {
    "zh": {
        "top_bottom": "为这张图写三句表情包文案，好笑、善意，每行一句，每句不超过20字。",
        "subtitle": "用电影旁白的口吻为这张图写三句字幕，好笑、善意，每行一句，每句不超过20字。",
        "speech": "让图中的菜开口说话，写三句它的台词，好笑、善意，每行一句，每句不超过20字。",
    },
    "en": {
        "top_bottom": (
            "Write three meme captions for this photo: "
            "funny, kind, one per line, at most 12 words each."
        ),
        "subtitle": (
            "Write three subtitles for this photo in the voice of a film narrator: "
            "funny, kind, one per line, at most 12 words each."
        ),
        "speech": (
            "Let the dish in this photo speak: write three of its lines, "
            "funny, kind, one per line, at most 12 words each."
        ),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What is already known about the photo before the question is asked."""

    #: From the naming pass, likeliest first; the first is the dish when `unsure` is False.
    candidates: tuple[Candidate, ...] = ()
    unsure: bool = False
    #: What a person called a photo that looks like this one; outranks the candidates.
    evidence: str | None = None
    #: The first look found nothing to eat.
    no_dish: bool = False

    def settled(self) -> Hint:
        """The same dish without doubt or source, for answers that have no room to speak of it."""
        if self.evidence and (said := _name(self.evidence)):
            return Hint(candidates=(_candidate(said),))
        return Hint(candidates=self.candidates[:1], no_dish=self.no_dish)

    def line(self, lang: Lang) -> str:
        """The hint as one line of a prompt, '' when it says nothing."""
        if self.evidence and (said := _name(self.evidence)):
            known = dishes.find(said)
            named = _bilingual(_candidate(said), lang) if known else said
            if lang == "zh":
                return f"提示：有人说一张相似的照片是{named}。请照此回答并说明这一点。"
            return f"Hint: a person said that a similar photo is {named}. Go by that and say so."
        if self.no_dish:
            return "提示：图中没有菜。" if lang == "zh" else "Hint: there is no dish in the photo."
        named_all = [
            n for c in self.candidates[:MOST_CANDIDATES] if (n := _bilingual(c, lang)) != ""
        ]
        if not named_all:
            return ""
        if not self.unsure:
            return (
                f"提示：图中是{named_all[0]}。"
                if lang == "zh"
                else f"Hint: this is {named_all[0]}."
            )
        if lang == "zh":
            return f"提示：不确定，可能是{'、'.join(named_all)}。请说明不确定。"
        return f"Hint: unsure, perhaps {', '.join(named_all)}. Say that you are not sure."


def hint(
    named: Sequence[tuple[str, float | None]], *, unsure: bool, evidence: str | None = None
) -> Hint:
    """The hint from the naming pass: (name in either language, probability), likeliest first."""
    found: dict[str, Candidate] = {}
    if named and is_no_dish(named[0][0]) and not evidence:
        return Hint(no_dish=True)
    for text, probability in named:
        name = _name(text)
        if name and not is_no_dish(name):
            candidate = _candidate(name, probability)
            found.setdefault(candidate.name("en"), candidate)
    return Hint(
        candidates=tuple(found.values())[:MOST_CANDIDATES], unsure=unsure, evidence=evidence
    )


def source(lang: Lang, evidence: str) -> str:
    """The sentence that says whose word an answer goes by."""
    said = _name(evidence)
    named = _candidate(said).name(lang)
    if lang == "zh":
        return f"依据：有人指出相似的照片是{named}。"
    return f"I go by what a person said: a similar photo is {named}."


def is_no_dish(name: str) -> bool:
    """Whether the naming pass answered that there is no dish."""
    return name.strip(' .。!！"“”*').casefold() in {
        "没有菜",
        "没有食物",
        "no dish",
        "no food",
        "none",
    }


def naming(lang: Lang) -> str:
    """Asks for the bare name of the dish: the likelihoods of its answers are our candidates."""
    return _NAMING[lang]


def critique(lang: Lang, hint: Hint | None = None, *, tone: Tone = "frank") -> str:
    """Asks for a critique in the format that `foodcritic.critique` reads."""
    return _join(_CRITIQUE[lang] + _TONE[lang][tone], _line(hint, lang))


def question(lang: Lang, text: str, hint: Hint | None = None) -> str:
    """Asks whatever a person typed about the photo, or about the dish of the dialogue so far."""
    return _join(_QUESTION[lang], _line(hint, lang), _ASKED[lang] + clean(text))


def choice(lang: Lang, question: str, options: Sequence[str], hint: Hint | None = None) -> str:
    """A multiple-choice question; the answer begins with (A), (B), …

    FoodieQA scores the first [A-D] of a reply. No options: the options are four photos.
    """
    listed = [
        f"({letter}) {_flat(option)}" for letter, option in zip("ABCDEFGH", options, strict=False)
    ] or [_PICTURES[lang]]
    settled = hint.settled() if hint is not None else None
    return _join(_CHOICE[lang], _line(settled, lang), _ASKED[lang] + clean(question), *listed)


def meme(lang: Lang, style: MemeStyle = "top_bottom", hint: Hint | None = None) -> str:
    """Asks for three captions, one a line."""
    return _join(_MEME[lang][style], _line(hint.settled() if hint is not None else None, lang))


# Special tokens of InternVL2's language models, LMDeploy and OpenVINO GenAI, in folded text.
_TOKEN = re.compile(
    r"<\|[^>]{0,60}\|>"
    r"|</?(?:img|image|img_context|image_token|video|audio|s|unk|pad|bos|eos|quad|ref|box"
    r"|ov_genai_[^<>]{0,60})/?>"
    r"|\[unused_token_\d{1,6}\]"
)
_LONGEST_TOKEN = 80
_KEPT_CONTROLS = "\n\t"


def clean(text: str) -> str:
    """The text without control tokens of models, nested or disguised ones too; the rest as it was.

    A token is seen through case, full-width letters, zero-width and other invisible characters,
    and one that appears where another was removed goes too. Lone surrogates and control characters
    but newline and tab go as well. Linear in the length of the text.
    """
    # A token ends in > or ]: looking back at each of them also finds what a removal has joined.
    kept: list[tuple[str, str]] = []
    for char in text:
        category = unicodedata.category(char)
        if category == "Cs" or (category == "Cc" and char not in _KEPT_CONTROLS):
            continue
        folded = _fold(char, category)
        kept.append((char, folded))
        if folded.endswith((">", "]")):
            _drop_token(kept)
    return "".join(char for char, _ in kept).strip()


def _fold(char: str, category: str) -> str:
    """What a character looks like to a lenient reader: '' for an invisible one."""
    if category == "Cf" or category == "Mn" or char in "\u115f\u1160\u3164\uffa0":
        return ""
    return unicodedata.normalize("NFKC", char).casefold()


def _drop_token(kept: list[tuple[str, str]]) -> None:
    """Removes the token that ends the list, if one does."""
    start, length = len(kept), 0
    while start > 0 and length < _LONGEST_TOKEN:
        start -= 1
        length += len(kept[start][1])
    tail = "".join(folded for _, folded in kept[start:])
    # The shortest token that ends here: ordinary text before it stays.
    starts = (at for at in range(len(tail) - 1, -1, -1) if tail[at] in "<[")
    surplus = next((len(tail) - at for at in starts if _TOKEN.fullmatch(tail, at)), 0)
    while surplus > 0:
        surplus -= len(kept.pop()[1])


def _flat(text: str) -> str:
    return " ".join(clean(text).split())


def _name(text: str) -> str:
    """A dish name fit for one line of a prompt: no markup, no brackets of ours, bounded."""
    return " ".join(re.sub(r"[*_()（）·|\[\]<>]", " ", clean(text)).split())[:_LONGEST_NAME].strip()


def _candidate(name: str, probability: float | None = None) -> Candidate:
    if dish := dishes.find(name):
        return Candidate(name_zh=dish.name_zh, name_en=dish.name_en, probability=probability)
    if re.search(r"[\u3400-\u9fff]", name):
        return Candidate(name_zh=name, probability=probability)
    return Candidate(name_en=name, probability=probability)


def _bilingual(candidate: Candidate, lang: Lang) -> str:
    main, other = candidate.names(lang)
    main, other = _name(main), _name(other or "")
    if not other:
        return main
    return f"{main}（{other}）" if lang == "zh" else f"{main} ({other})"


def _line(hint: Hint | None, lang: Lang) -> str:
    return hint.line(lang) if hint is not None else ""


def _join(*lines: str) -> str:
    return "\n".join(line for line in lines if line)
