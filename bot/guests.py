"""Answers to guest queries: somebody mentioned us in a chat that we are not a member of.

```
 guest_message ─▶ job ─▶ answerGuestQuery("looking") ─store its id─▶ ──edit──▶ answer
```

Telegram takes one answer for a guest query, and that message can be edited as often as we like: so
the answer is whole and there once, whenever we die. Between Telegram's acceptance of the first line
and the commit of its id lies the one window: then that line is all there will be.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from telegram import InlineQueryResultArticle, InputTextMessageContent
from telegram.error import BadRequest

from bot import texts
from bot.budget import MeteredBot
from bot.delivery import NO_PREVIEW
from bot.markup import LIMIT, split
from bot.texts import Lang
from foodcritic.jobs import Job

log = structlog.get_logger(__name__)

#: Of `Job.params`: the query to answer.
QUERY: Final = "guest_query"
#: Of `Job.delivery`: the message that answers it.
INLINE: Final = "inline"


def is_guest(job: Job) -> bool:
    """Whether a job was asked where we are no member."""
    return QUERY in job.params


async def greet(
    bot: MeteredBot,
    job: Job,
    lang: Lang,
    delivery: dict[str, Any],
    store: Callable[[], Awaitable[None]],
) -> None:
    """Answer the query, so that there is a message to edit.

    Raises:
        BadRequest: the query is too old, or has been answered.
    """
    if delivery.get(INLINE) is None:
        delivery[INLINE] = await say(bot, job.params[QUERY], texts.text(lang, "looking"))
        await store()


async def say(bot: MeteredBot, query_id: str, text: str) -> str:
    """Answer a guest query with a line; the id of the message it becomes."""
    result = InlineQueryResultArticle("1", "foodcritic", InputTextMessageContent(text))
    return (await bot.answer_guest_query(query_id, result)).inline_message_id


async def deliver(bot: MeteredBot, text: str, delivery: dict[str, Any]) -> None:
    """Make the message say the answer; one message is all a guest has."""
    parts = split(text, LIMIT - 1)
    shown = parts[0].text + ("…" if len(parts) > 1 else "")
    try:
        await bot.edit_message_text(
            shown,
            inline_message_id=str(delivery[INLINE]),
            entities=parts[0].entities,
            link_preview_options=NO_PREVIEW,
        )
    except BadRequest as error:
        if "not modified" not in error.message.lower():
            raise
