"""/stats: how it goes, as a picture of the last days with the figures under it."""

import asyncio

import structlog
from telegram.error import BadRequest

from bot import delivery, texts
from bot.admin import plot
from bot.admin.orders import Order
from bot.delivery import Target
from bot.gate import Priority
from bot.markup import Part
from foodcritic import audit, figures

log = structlog.get_logger(__name__)


async def on_stats(order: Order) -> None:
    """/stats: people, jobs, waiting times, ratings."""
    desk, lang = order.desk, order.lang
    found = await figures.read(desk.db)
    await audit.record(desk.db, order.actor, "stats")
    today = found.days[-1]
    caption = texts.text(
        lang,
        "admin-stats",
        total=found.users,
        count=found.users_day,
        limit=found.users_week,
        number=found.groups,
        sent=today.answered,
        blocked=today.failed,
        unknown=today.stopped,
        ahead=found.waiting,
        seconds=f"{found.first.p50:.1f} / {found.first.p95:.1f}",
        time=f"{found.took.p50:.1f} / {found.took.p95:.1f}",
        ratings=f"{sum(day.up for day in found.days)} / {sum(day.down for day in found.days)}",
        days=len(found.days),
        corrections=found.pending,
        questions=found.approved,
    )
    names = ("answers", "answered", "failed", "stopped", "waiting", "ratings", "seconds")
    words = {name: texts.text(lang, f"admin-plot-{name}") for name in (*names, "good", "bad")}
    chat_id = order.message.chat.id
    try:
        picture = await asyncio.to_thread(plot.draw, found, words)
        await desk.bot.send_photo(
            chat_id, picture, caption=caption, rate_limit_args=Priority.URGENT
        )
    except BadRequest as error:
        log.warning("bot.stats_without_picture", error=error.message)
        target = Target(chat_id=chat_id, thread_id=None, message_id=None)
        await delivery.send(desk.bot, target, Part(caption))
