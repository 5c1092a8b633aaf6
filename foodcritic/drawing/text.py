"""Captions before they are drawn: cleaned, cut into what a reader sees as one character, and the
places where a line may end.

Everything that shows nothing is dropped (control characters, bidi overrides, zero-width spaces);
marks piled onto a letter are cut to two. What no font of ours draws is refused by `layout`.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final, Literal

import budoux
import regex

from foodcritic.dishes import Lang
from foodcritic.errors import CaptionError

#: A language that decides shapes and words.
Local = Lang | Literal["ja", "ko"]

#: Longer is no caption; so many fit onto the smallest picture at a readable size.
MOST_CLUSTERS: Final = 160
#: Marks above and below one letter: Vietnamese and pointed Hebrew need two, Zalgo hundreds.
MOST_MARKS: Final = 2
#: Lines that a caption's own line breaks may make.
MOST_LINES: Final = 6

_JOINERS: Final = "\u200c\u200d"  # between letters of Persian and parts of emoji
_TAGS: Final = range(0xE0020, 0xE0080)  # of England's, Scotland's and Wales's flags
_CLUSTER: Final = regex.compile(r"\X")
_MARKS: Final = regex.compile(rf"(\p{{M}}{{{MOST_MARKS}}})[\p{{Mn}}\p{{Me}}]+")
# A digit that asks to be an emoji is none without its key: fonts have an empty glyph for it.
_EMOJI: Final = regex.compile(
    r"\p{Emoji_Presentation}|\p{Regional_Indicator}|(?![0-9#*])\p{Emoji}\uFE0F"
    r"|\p{Extended_Pictographic}\u200D|\p{Emoji_Modifier}|[0-9#*]\uFE0F?\u20E3"
)
# A key's short form, which fonts do not have.
_KEY: Final = regex.compile(r"([0-9#*])\u20E3")
_IDEOGRAPHIC: Final = regex.compile(
    r"\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|[\u3000-\u303F\uFF01-\uFF60ー]"
)
_SHARED: Final = regex.compile(r"[^·\P{Script=Common}]")
_COMPLEX: Final = regex.compile(
    r"[\p{Bidi_Class=R}\p{Bidi_Class=AL}]|\p{Script=Devanagari}|\p{Script=Bengali}|\p{Script=Tamil}"
    r"|\p{Script=Telugu}|\p{Script=Gujarati}|\p{Script=Gurmukhi}|\p{Script=Kannada}"
    r"|\p{Script=Malayalam}|\p{Script=Oriya}|\p{Script=Sinhala}|\p{Script=Khmer}|\p{Script=Lao}"
    r"|\p{Script=Myanmar}|\p{Script=Thai}"
)
# Kinsoku (JIS X 4051): what may not begin a line, what may not end one.
_NOT_FIRST: Final = frozenset(
    "、。，．・：；？！゛゜ヽヾゝゞ々ー”’）〕］｝〉》」』】〙〗〟｠»…‥—–～〜‐"
    ",.:;?!)]}%‰℃°·"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ"
)
_NOT_LAST: Final = frozenset("“‘（〔［｛〈《「『【〘〖〝｟«([{#$£¥￥＄＃@")
_PAUSE: Final = frozenset("，、。；：！？…,;:!?")
_LOCAL: Final[dict[Local, regex.Pattern[str]]] = {
    "ja": regex.compile(r"[\p{Script=Hiragana}\p{Script=Katakana}]"),
    "ko": regex.compile(r"\p{Script=Hangul}"),
    "zh": regex.compile(r"\p{Script=Han}"),
}
_PAIRS: Final = frozenset("…—‥")  # …… and —— stay in one piece


def clean(caption: str) -> str:
    """The caption as it can be shown, one line a paragraph.

    Raises:
        CaptionError: nothing is left (`empty`), or too much is (`too_long`).
    """
    # Far beyond any caption: not worth cleaning to find that out.
    if len(caption) > 40 * MOST_CLUSTERS:
        raise CaptionError(
            "too_long",
            f"the caption has {len(caption):,} characters: at most {MOST_CLUSTERS} can be drawn",
        )
    text = "\n".join(unicodedata.normalize("NFC", caption).splitlines())
    text = "".join(c for c in text if _shows(c))
    text = _MARKS.sub(r"\1", text)
    text = _KEY.sub("\\1\ufe0f\u20e3", text)
    lines = [" ".join(line.split()) for line in text.split("\n")]
    lines = [line for line in lines if line]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], " ".join(lines[MOST_LINES - 1 :])]
    text = "\n".join(lines)
    if not any(_inks(c) for c in text):
        raise CaptionError("empty", "the caption is empty: write what the picture should say")
    if (count := len(clusters(text))) > MOST_CLUSTERS:
        raise CaptionError(
            "too_long",
            f"the caption has {count:,} characters: at most {MOST_CLUSTERS} can be drawn",
        )
    return text


def clusters(text: str) -> list[str]:
    """What a reader sees as single characters: letters with their marks, emoji with their parts."""
    return _CLUSTER.findall(text)


def is_emoji(cluster: str) -> bool:
    """Whether a cluster asks to be drawn as an emoji."""
    return _is_emoji(cluster) and "\ufe0e" not in cluster


def is_ideographic(cluster: str) -> bool:
    """Whether a cluster is written without spaces: Chinese, Japanese and their punctuation."""
    return _IDEOGRAPHIC.match(cluster) is not None


def is_shared(cluster: str) -> bool:
    """Whether scripts share a cluster, each with a shape of its own: digits, spaces, quotes."""
    return _SHARED.match(cluster) is not None


def is_opening(cluster: str) -> bool:
    """Whether a cluster belongs to what follows: an opening bracket or quotation mark."""
    return unicodedata.category(cluster[0]) in ("Ps", "Pi")


def is_letter(cluster: str) -> bool:
    """Whether a cluster is a letter of some script."""
    return unicodedata.category(cluster[0])[0] == "L"


def is_complex(cluster: str) -> bool:
    """Whether drawing a cluster right takes a shaping library."""
    return _COMPLEX.match(cluster) is not None


def words(text: str) -> list[list[str]]:
    """One line of text as pieces of clusters between which it may be broken.

    A space ends the piece before it.
    """
    pieces: list[list[str]] = []
    before = " "
    for cluster in clusters(text):
        if not pieces or _breaks(before, cluster):
            pieces.append([])
        pieces[-1].append(cluster)
        before = cluster
    return pieces


def phrases(line: str, local: Local) -> frozenset[int]:
    """Where a line reads well when broken: offsets after a word, a space or a pause.

    Chinese and Japanese words are found by BudouX's models.
    """
    ends = {at for at, char in enumerate(line, 1) if char == " " or char in _PAUSE}
    if local == "zh" or local == "ja":
        at = 0
        for phrase in _parser(local).parse(line):
            at += len(phrase)
            ends.add(at)
    return frozenset(ends)


@cache
def _parser(local: Local) -> budoux.Parser:
    if local == "ja":
        return budoux.load_default_japanese_parser()
    return budoux.load_default_simplified_chinese_parser()


def local(caption: str, lang: Lang) -> Local:
    """The language whose shapes and words a caption has: Japanese beside kana, Korean beside
    hangul, else Chinese for ideographs, else the language asked for.
    """
    for name, pattern in _LOCAL.items():
        if pattern.search(caption):
            return name
    return lang


def _breaks(before: str, after: str) -> bool:
    if after == " " or after[0] in _NOT_FIRST or before[0] in _NOT_LAST:
        return False
    if before == " ":
        return True
    if before == after and before in _PAIRS:
        return False
    if before == "-" or before == "/":
        return not after[0].isdigit()
    free = is_ideographic(before) or is_emoji(before) or before[0] in _NOT_FIRST - set(",.:;?!%°·’")
    return free or is_ideographic(after) or is_emoji(after)


def _is_emoji(text: str) -> bool:
    return _EMOJI.match(text) is not None


def _shows(char: str) -> bool:
    """Whether a character is part of what a person sees: no override, no control character."""
    if char in "\n\t" or char in _JOINERS or ord(char) in _TAGS:
        return True
    # Python's own table is older than the newest emoji, which it calls unassigned.
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn") or _is_emoji(char)


def _inks(char: str) -> bool:
    return unicodedata.category(char)[0] not in "ZCM" or _is_emoji(char)
