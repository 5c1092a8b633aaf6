"""Inline mode: `@bot` and a dish, in any chat, offers the person's own recent critiques to share.

A critique whose score card was drawn goes as that picture, any other as text. Nobody is offered
what somebody else asked.
"""

from typing import Any, Final

import sqlalchemy as sa
import structlog
from telegram import (
    InlineQueryResult,
    InlineQueryResultArticle,
    InlineQueryResultCachedPhoto,
    InlineQueryResultsButton,
    InputTextMessageContent,
    Update,
)
from telegram.error import BadRequest
from telegram.ext import InlineQueryHandler

from bot import texts
from bot.courier import CHANNEL
from bot.delivery import NO_PREVIEW
from bot.desk import Desk, bound, language
from bot.markup import split
from foodcritic import dishes, jobs, memes, tables
from foodcritic.columns import JobKind, JobStatus
from foodcritic.critique import Critique
from foodcritic.dishes import Lang
from foodcritic.jobs import Job

log = structlog.get_logger(__name__)

#: Critiques looked through, and offered at most.
RECENT: Final = 50
OFFERED: Final = 10
#: Seconds that Telegram may show the same list to the same person.
CACHE: Final = 5
#: UTF-16 units of a shared text: enough for a critique, little enough for a chat.
SHARED: Final = 1500

J = tables.Job


def register(application: Any, desk: Desk) -> None:
    """Add the handler."""
    application.add_handler(InlineQueryHandler(bound(desk, on_inline)))


async def on_inline(desk: Desk, update: Update) -> None:
    query = update.inline_query
    assert query is not None
    lang = await language(desk, query.from_user)
    found = await recent(desk, query.from_user.id)
    words = query.query.casefold().split()
    results = [
        offer(job, card, lang) for job, card in found if matches(memes.critique_of(job), words)
    ][:OFFERED]
    button = None
    if not results:
        label = texts.text(lang, "inline-nothing" if found else "inline-empty")
        button = InlineQueryResultsButton(label, start_parameter="inline")
    try:
        await query.answer(results, cache_time=CACHE, is_personal=True, button=button)
    except BadRequest as error:  # typed on, or too late
        log.debug("bot.inline_too_late", error=error.message)


async def recent(desk: Desk, user_id: int) -> list[tuple[Job, str | None]]:
    """A person's latest critiques, newest first, with the file id of the card that was sent."""
    mine = (J.channel == CHANNEL, J.user_id == user_id, J.status == JobStatus.SUCCEEDED)
    async with desk.db.read() as session:
        rows = await session.execute(
            sa.select(*jobs.COLUMNS)
            .where(*mine, J.kind == JobKind.CRITIQUE)
            .order_by(J.created.desc())
            .limit(RECENT)
        )
        found = await jobs.load(session, rows.all(), desk.db.settings.media)
        keys = {f"{CHANNEL}:card:{job.id}": job.id for job in found}
        sent = await session.execute(sa.select(J.key, J.delivery).where(J.key.in_(keys)))
        cards = {keys[row.key]: row.delivery.get("file_id") for row in sent}
    return [(job, cards.get(job.id)) for job in found if memes.has_card(job)]


def matches(critique: Critique, words: list[str]) -> bool:
    """Whether a critique's dish or cuisine holds every word, in either language."""
    names = [critique.dish_zh, critique.dish_en, critique.cuisine]
    if (known := dishes.find(critique.dish_en or critique.dish_zh or "")) is not None:
        names += [known.name_zh, known.name_en, *known.aliases]
    said = " ".join(name for name in names if name).casefold()
    return all(word in said for word in words)


def offer(job: Job, card: str | None, lang: Lang) -> InlineQueryResult:
    """One critique to share."""
    critique = memes.critique_of(job)
    names = (critique.dish_zh, critique.dish_en)
    name = (names[0] or names[1] if lang == "zh" else names[1] or names[0]) or ""
    score = f"{critique.score}/10" if critique.score is not None else None
    about = " · ".join(part for part in (critique.cuisine, score) if part)
    if card:
        return InlineQueryResultCachedPhoto(
            str(job.id), card, title=name, description=about or None
        )
    (part, *_) = split(job.answer or "…", SHARED)
    content = InputTextMessageContent(
        part.text, entities=part.entities, link_preview_options=NO_PREVIEW
    )
    return InlineQueryResultArticle(str(job.id), name, content, description=about or None)
