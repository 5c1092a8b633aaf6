"""What a picture job shows and the buttons under it; every button names the variant it leads to.

meme:<job>:<caption><style><text>    like meme:42:1s1: its second caption, as a subtitle, with text
more:<job>:<style>                   three new captions
card:<job>                           the score card of an answer
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from bot import texts
from foodcritic import memes
from foodcritic.columns import JobKind
from foodcritic.jobs import Job
from foodcritic.memes import Variant
from foodcritic.prompts import MemeStyle

#: Jobs that end in a picture.
KINDS: Final = (JobKind.MEME, JobKind.CARD)
LETTERS: Final[dict[str, MemeStyle]] = {"t": "top_bottom", "s": "subtitle", "b": "speech"}
LETTER_OF: Final = {style: letter for letter, style in LETTERS.items()}
MEME: Final = re.compile(r"meme:([1-9]\d{0,17}):(\d)([tsb])([01])")
MORE: Final = re.compile(r"more:([1-9]\d{0,17}):([tsb])")
CARD: Final = re.compile(r"card:([1-9]\d{0,17})")


def draw(job: Job) -> tuple[bytes, InlineKeyboardMarkup | None] | None:
    """The picture a finished job is for, and its buttons; None: there is none."""
    if job.kind is JobKind.CARD:
        return memes.draw_card(job), None
    drawn = memes.draw_first(job)
    return None if drawn is None else (drawn[1], keyboard(job, drawn[0]))


def redraw(job: Job, variant: Variant) -> tuple[bytes, InlineKeyboardMarkup]:
    """Another variant of a meme; raises CaptionError or PhotoError."""
    return memes.draw(job, variant), keyboard(job, variant)


def keyboard(job: Job, variant: Variant) -> InlineKeyboardMarkup:
    """The buttons under a meme: another caption, another style, with or without text."""
    lang = memes.language(job)
    more = variant.caption + 1 < len(memes.written(job))
    another = replace(variant, caption=variant.caption + 1, with_text=True)
    plain = replace(variant, with_text=not variant.with_text)
    say: Callable[[str], str] = lambda name: texts.text(lang, name)  # noqa: E731
    return InlineKeyboardMarkup(
        [
            [
                InlineKeyboardButton(
                    say("button-meme-another"),
                    None,
                    data(job.id, another) if more else f"more:{job.id}:{LETTER_OF[variant.style]}",
                ),
                InlineKeyboardButton(
                    say("button-meme-style"), None, data(job.id, variant.restyled())
                ),
            ],
            [
                InlineKeyboardButton(
                    say("button-meme-plain" if variant.with_text else "button-meme-text"),
                    None,
                    data(job.id, plain),
                ),
                InlineKeyboardButton("👍", callback_data=f"up:{job.id}"),
                InlineKeyboardButton("👎", callback_data=f"down:{job.id}"),
            ],
        ]
    )


def data(job_id: int, variant: Variant) -> str:
    """What a button says that leads to a variant."""
    return f"meme:{job_id}:{variant.caption}{LETTER_OF[variant.style]}{int(variant.with_text)}"


def parse(given: str | None) -> tuple[int, Variant] | None:
    """The job and variant of callback data; None for anything we never sent."""
    match = MEME.fullmatch(given or "")
    if match is None:
        return None
    style, with_text = LETTERS[match[3]], match[4] == "1"
    return int(match[1]), Variant(caption=int(match[2]), style=style, with_text=with_text)
