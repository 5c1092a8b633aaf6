"""Inline keyboards and the data their buttons send back.

Anybody can send any data with any client, so that data names only what is asked: `stop:42`. Who may
do it is checked against job 42, never against what the data says.
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from bot import texts
from bot.texts import Lang
from foodcritic import memes
from foodcritic.columns import JobKind, JobStatus
from foodcritic.jobs import Job

Action = Literal["stop", "again", "lang"]
DATA = re.compile(r"([a-z]{1,16}):([a-z]{2}|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Tap:
    """What a button asks for."""

    action: Action
    #: a job id, or a language
    subject: str


def parse(data: str | None) -> Tap | None:
    """The tap that callback data stands for; None for anything we never sent."""
    match = DATA.fullmatch(data or "")
    if match is None:
        return None
    for action in get_args(Action):
        if match[1] == action and (action == "lang") == match[2].isalpha():
            return Tap(action, match[2])
    return None


def row(*buttons: tuple[str, str]) -> InlineKeyboardMarkup:
    """One row of (label, data)."""
    return InlineKeyboardMarkup([[InlineKeyboardButton(x, callback_data=y) for x, y in buttons]])


def waiting(lang: Lang, job_id: int) -> InlineKeyboardMarkup:
    """Under the status while an answer is made."""
    return row((texts.text(lang, "button-stop"), f"stop:{job_id}"))


def answered(lang: Lang, job: Job) -> InlineKeyboardMarkup | None:
    """Under an answer, or what came instead of one; a card has nothing to be tried again."""
    if job.kind is JobKind.CARD:
        return None
    buttons = [(texts.text(lang, "button-again"), f"again:{job.id}")]
    if job.kind is JobKind.CRITIQUE and memes.has_card(job):
        buttons.append((texts.text(lang, "button-card"), f"card:{job.id}"))
    below = row(*buttons)
    if job.status is not JobStatus.SUCCEEDED or not job.answer or job.kind is JobKind.MEME:
        return below  # a meme that came out has a keyboard of its own (bot.easel)
    rating = row(("👍", f"up:{job.id}"), ("👎", f"down:{job.id}"), ("✏️", f"fix:{job.id}"))
    return InlineKeyboardMarkup([*rating.inline_keyboard, *below.inline_keyboard])


def languages() -> InlineKeyboardMarkup:
    """The choice of /language."""
    return row(*((texts.NAMES[lang], f"lang:{lang}") for lang in texts.LANGUAGES))
