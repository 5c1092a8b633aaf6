"""The model's limited Markdown as Telegram text with entities, in pieces that fit a message.

`**bold**` is all there is. Telegram's own parser would refuse a whole answer for one stray star, so
none is asked for: offsets and lengths are counted here, in UTF-16 units as Telegram counts.
"""

import re
from dataclasses import dataclass

from telegram import MessageEntity

#: UTF-16 units of one message, Telegram's limit.
LIMIT = 4096
BOLD = re.compile(r"\*\*(?=\S)([^\n]+?)(?<=\S)\*\*")
#: Where a text may be cut, best first.
CUTS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"(?<=[。！？；])|(?<=[.!?;])\s+"),
    re.compile(r"\s+|(?<=[，、])"),
)
#: Characters that belong to the one before them: joiners, variation selectors, skin tones, marks.
TRAILING = re.compile(
    "[\u200d\ufe00-\ufe0f\u0300-\u036f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
)


@dataclass(frozen=True, slots=True)
class Span:
    """Bold characters `start`..`end` of a text, in Python's code points."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """One message: its text and entities."""

    text: str
    entities: tuple[MessageEntity, ...] = ()


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text) + sum(1 for char in text if ord(char) > 0xFFFF)


def render(markdown: str, *, unfinished: bool = False) -> tuple[str, list[Span]]:
    """The text without marks, and what is bold; `unfinished`: a `**` may still be open."""
    text, spans, last = "", [], 0
    for match in BOLD.finditer(markdown):
        text += markdown[last : match.start()]
        spans.append(Span(len(text), len(text) + len(match[1])))
        text += match[1]
        last = match.end()
    rest = markdown[last:]
    if unfinished:
        head, mark, tail = rest.rpartition("**")
        if mark and "\n" not in tail:
            text += head
            if tail.strip():
                spans.append(Span(len(text), len(text) + len(tail)))
            return text + tail, spans
        rest = rest.removesuffix("*") if rest.endswith("*") else rest
    return text + rest, spans


def split(markdown: str, limit: int = LIMIT, *, unfinished: bool = False) -> list[Part]:
    """The messages that say `markdown`, each of at most `limit` UTF-16 units.

    Cuts at paragraph ends, else line ends, sentence ends, spaces; through a word only when there is
    nothing else. What is bold on both sides of a cut is bold in both messages. Nothing but the
    white space at cuts is lost. An empty text gives no part.
    """
    text, spans = render(markdown, unfinished=unfinished)
    parts: list[Part] = []
    start = 0
    while True:
        start += len(text[start:]) - len(text[start:].lstrip())
        if start >= len(text):
            return parts
        end = cut(text, start, limit)
        stop = start + len(text[start:end].rstrip())
        parts.append(Part(text[start:stop], entities(text, spans, start, stop)))
        start = end


def cut(text: str, start: int, limit: int) -> int:
    """Where the message that begins at `start` ends."""
    farthest, room = start, limit
    while farthest < len(text):
        room -= 2 if ord(text[farthest]) > 0xFFFF else 1
        if room < 0:
            break
        farthest += 1
    if farthest == len(text):
        return farthest
    for pattern in CUTS:
        # A cut in the first half would waste a message: prefer the next kind of cut to it.
        ends = [m.end() for m in pattern.finditer(text, start, farthest) if m.start() > start]
        if ends and ends[-1] - start > (farthest - start) // 2:
            return ends[-1]
    end = farthest
    while end > start + 1 and (TRAILING.match(text[end]) or text[end - 1] == "\u200d"):
        end -= 1
    return end if end > start + 1 else farthest


def entities(text: str, spans: list[Span], start: int, stop: int) -> tuple[MessageEntity, ...]:
    """The entities of `text[start:stop]`."""
    found = []
    for span in spans:
        first, last = max(span.start, start), min(span.end, stop)
        if first < last:
            offset, length = units(text[start:first]), units(text[first:last])
            found.append(MessageEntity(MessageEntity.BOLD, offset, length))
    return tuple(found)
