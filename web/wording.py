"""The shape of what the page says in one language: a missing word is a type error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from foodcritic.errors import PhotoCode, QueueFull
from foodcritic.limits import Refusal
from foodcritic.prompts import MemeStyle
from foodcritic.queue import Position

Lang = Literal["zh", "en"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """One language. Braces hold what `str.format` fills in."""

    lang: Lang
    #: what Gradio calls it
    locale: str
    #: the other language, by its own name
    other: str
    title: str
    tagline: str
    theme: str
    logout: str
    # the conversation
    chat: str
    invite_title: str
    invite: str
    box: str
    new: str
    questions: tuple[str, str, str, str]
    suggestions: str
    # what a screen reader says of the buttons without words
    add: str
    added: str
    remove: str
    paste: str
    send: str
    stop: str
    copy: str
    copied: str
    larger: str
    smaller: str
    reset: str
    close: str
    # beside it
    samples: str
    samples_hint: str
    ask_about: str
    sampling: str
    sampling_hint: str
    top_p: str
    temperature: str
    disclaimer: str
    # while an answer is made
    looking: str
    queued_one: str
    queued_many: str
    about_seconds: str
    learning: str
    about_minutes: str
    opening: str
    stopped: str
    # an answer
    score: str
    unsure: str
    photo_of: str
    photo_number: str
    # why there is none
    failed: str
    talked_out: str
    photo_first: str
    no_session: str
    lost: str
    not_arrived: str
    too_long: str
    too_many_photos: str
    full_user: str
    full_total: str
    not_an_image: str
    truncated: str
    too_large: str
    too_many_pixels: str
    limit_minute: str
    limit_day: str
    limit_none: str
    maintenance: str
    no_room: str
    # memes and cards
    tab_talk: str
    tab_memes: str
    meme_invite_title: str
    meme_invite: str
    meme_photo: str
    meme_first: str
    meme_style: str
    top_bottom: str
    subtitle: str
    speech: str
    meme_make: str
    meme_busy: str
    meme_card: str
    meme_result: str
    meme_captions: str
    meme_words: str
    meme_none: str
    meme_too_long: str
    no_card: str
    meme_like: str
    meme_dislike: str
    # what was wrong with an answer
    fix: str
    fix_title: str
    fix_dish: str
    fix_none: str
    fix_other: str
    fix_text: str
    fix_send: str
    fix_leave: str
    fix_undo: str
    fix_noted_dish: str
    fix_noted_text: str
    fix_thanks: str
    fix_undone: str
    fix_empty: str
    fix_too_long_dish: str
    fix_too_long_text: str
    fix_stale: str
    # what is held about a visitor, and their say over it
    privacy: str
    privacy_title: str
    privacy_who: str
    privacy_nobody: str
    held_questions: str
    held_photos: str
    held_ratings: str
    held_corrections: str
    kept: str
    kept_days: str
    consent_ask: str
    consent_later: str
    consent_agree: str
    consent_refuse: str
    consent_yes: str
    consent_no: str
    learn_yes: str
    learn_no: str
    learn_unasked: str
    learn_stop: str
    download: str
    download_hint: str
    forget: str
    forget_ask: str
    forget_sure: str
    forgotten: str
    back: str
    # the door
    password: str
    enter: str
    wrong: str
    wrong_often: str
    locked: str

    def untranslated(self) -> dict[str, str]:
        """What Gradio's own translation lacks, by its keys."""
        return {"chatbot.copy_message": self.copy, "chatbot.copied_message": self.copied}

    def apology(self, code: str | None) -> str:
        """What a job that failed with this code says."""
        if code == "too_long":
            return self.talked_out
        return str(getattr(self, code)) if code and code in get_args(PhotoCode) else self.failed

    def refusal(self, code: PhotoCode) -> str:
        """Why a photo is refused."""
        return self.apology(code)

    def full(self, error: QueueFull) -> str:
        """Why there is no room, and until about when."""
        seconds = max(1, math.ceil(error.seconds))
        if error.scope == "user":
            return self.full_user.format(limit=error.limit, seconds=seconds)
        return self.full_total.format(minutes=max(1, math.ceil(seconds / 60)))

    def limited(self, refusal: Refusal, now: datetime) -> str:
        """Who has asked too often, and when there is room again."""
        if refusal.scope == "maintenance":
            return self.maintenance
        if refusal.until is None:
            return self.limit_none
        if refusal.scope.endswith("day"):
            hours = max(1, math.ceil((refusal.until - now).total_seconds() / 3600))
            return self.limit_day.format(limit=refusal.limit, hours=hours)
        seconds = max(1, math.ceil((refusal.until - now).total_seconds()))
        return self.limit_minute.format(limit=refusal.limit, seconds=seconds)

    def style(self, name: MemeStyle) -> str:
        """What a style of memes is called."""
        return str(getattr(self, name))

    def keeping(self, days: int) -> str:
        """For how long questions and photos are kept; 0 days: until they are deleted."""
        return self.kept_days.format(days=days) if days else self.kept

    def place(self, position: Position) -> str:
        """Where a waiting question stands."""
        if position.learning is not None:
            left = math.ceil(position.learning / 60)
            return self.learning + (self.about_minutes.format(minutes=left) if left else "")
        if position.loading:
            return self.opening
        if position.ahead == 0:
            return self.looking
        queued = self.queued_one if position.ahead == 1 else self.queued_many
        wait = math.ceil(position.seconds)
        about = self.about_seconds.format(seconds=wait) if wait else ""
        return queued.format(ahead=position.ahead) + about
