"""The picture of a finished job: its meme in any variant, or its score card, as JPEG bytes.

    job.answer ─▶ captions ─▶ the best that can be drawn ─▶ Variant ─▶ draw ─▶ bytes
                                 another, other style, without text ┘

A variant is told by three small numbers, so that a button can name one and nothing need be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast, get_args

from foodcritic import photos
from foodcritic.critique import Candidate, Critique
from foodcritic.dishes import Lang
from foodcritic.drawing import captions, card, meme, paint
from foodcritic.errors import CaptionError
from foodcritic.jobs import Job
from foodcritic.prompts import MEME_STYLES, MemeStyle

STYLE: Final[MemeStyle] = "top_bottom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to draw a job's meme."""

    #: which of the job's captions, from 0
    caption: int = 0
    style: MemeStyle = STYLE
    with_text: bool = True

    def restyled(self) -> Variant:
        """In the next style, with text."""
        style = MEME_STYLES[(MEME_STYLES.index(self.style) + 1) % len(MEME_STYLES)]
        return replace(self, style=style, with_text=True)


def language(job: Job) -> Lang:
    """The language of a job's answer."""
    return cast(Lang, job.lang) if job.lang in get_args(Lang) else "en"


def written(job: Job) -> tuple[str, ...]:
    """The captions of a finished meme job, the best first; () when it wrote none to draw."""
    candidates = candidates_of(job.critique)
    left, ranked = list(captions.read(job.answer or "")), []
    while best := captions.best(left, language(job), candidates):
        ranked.append(best)
        left.remove(best)
    return tuple(ranked)


def style_of(job: Job) -> MemeStyle:
    """The style that its captions were written for."""
    asked = job.params.get("style")
    return cast(MemeStyle, asked) if asked in MEME_STYLES else STYLE


def draw(job: Job, variant: Variant) -> bytes:
    """The meme; takes about 50 ms, so not in an event loop.

    Raises:
        CaptionError: there is no such caption, or it cannot be drawn so.
        PhotoError: the photo cannot be read any more.
    """
    found = written(job)
    if variant.with_text and not 0 <= variant.caption < len(found):
        raise CaptionError("empty", f"job {job.id} wrote {len(found)} captions")
    photo = photos.load(job.photos[0].path, side=meme.LONGEST)
    if not variant.with_text:
        return paint.jpeg(paint.fitted(photo, meme.LONGEST, meme.SHORTEST))
    drawn = meme.draw(photo, found[variant.caption], variant.style, language(job))
    return paint.jpeg(drawn)


def draw_first(job: Job) -> tuple[Variant, bytes] | None:
    """The best caption that can be drawn, and its picture; None: there is none.

    Raises:
        PhotoError: the photo cannot be read any more.
    """
    for number in range(len(written(job))):
        variant = Variant(caption=number, style=style_of(job))
        try:
            return variant, draw(job, variant)
        except CaptionError:
            continue
    return None


def draw_card(job: Job) -> bytes:
    """The score card of a finished critique; raises PhotoError when its photo is gone."""
    photo = photos.load(job.photos[0].path, side=card.SIZE[0])
    return paint.jpeg(card.draw(photo, critique_of(job), language(job)))


def has_card(job: Job) -> bool:
    """Whether a job's answer is a critique of a dish, to be shown on a card."""
    found = job.critique or {}
    return bool(job.photos and job.answer and (found.get("dish_zh") or found.get("dish_en")))


def critique_of(job: Job) -> Critique:
    """The critique of a finished job, as it was stored."""
    found = job.critique or {}
    return Critique(
        dish_zh=found.get("dish_zh"),
        dish_en=found.get("dish_en"),
        cuisine=found.get("cuisine"),
        score=found.get("score"),
        unsure=bool(found.get("unsure")),
        candidates=candidates_of(found),
        text=job.answer or "",
    )


def candidates_of(stored: Mapping[str, Any] | None) -> tuple[Candidate, ...]:
    """What the naming pass found, as it was stored."""
    return tuple(
        Candidate(
            name_zh=found.get("name_zh"),
            name_en=found.get("name_en"),
            probability=found.get("probability"),
        )
        for found in (stored or {}).get("candidates") or ()
    )
