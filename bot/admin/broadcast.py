"""/broadcast: an announcement to everybody, with a preview, a confirmation and a pace.

```
 /broadcast TEXT ─▶ preview, [Send to N people] ─▶ letters ─▶ run(): one after the other ─▶ report
```

`run` is a part of the bot process. What it sends next stands in the database, so that a bot that is
killed goes on where it was and repeats nothing (`foodcritic.broadcasts`).
"""

import asyncio
import contextlib
from typing import Any, Final

import structlog
from telegram import Message, MessageEntity
from telegram.error import BadRequest, Forbidden, NetworkError, TelegramError

from bot import delivery, texts
from bot.admin.orders import Order, Press, data, rows
from bot.budget import MeteredBot, never_left
from bot.courier import CHANNEL
from bot.delivery import Target
from bot.gate import Priority
from bot.markup import Part, units
from bot.taps import notice
from bot.texts import Lang
from foodcritic import broadcasts, people, wake
from foodcritic.broadcasts import Broadcast
from foodcritic.columns import BroadcastStatus, LetterStatus
from foodcritic.db import Database

log = structlog.get_logger(__name__)

#: Seconds between two letters: a third of what Telegram allows, the rest is for answers.
PACE: Final = 0.1
#: Seconds between two reports of how it goes.
REPORT: Final = 3.0
#: Seconds between attempts to reach Telegram again: the first, and the longest.
PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Seconds that the letter in hand gets to arrive when we stop.
LAST: Final = 3.0


async def on_broadcast(order: Order) -> None:
    """/broadcast TEXT, or as a reply to a text of one's own: show what people would get."""
    text, entities = announcement(order.message)
    if not text:
        await order.answer("admin-broadcast-usage")
        return
    desk, chat_id = order.desk, order.message.chat.id
    target = Target(chat_id=chat_id, thread_id=None, message_id=None)
    try:
        await delivery.send(desk.bot, target, Part(text, entities))
    except BadRequest as error:
        await order.answer("admin-broadcast-refused", name=error.message)
        return
    kept = [entity.to_dict() for entity in entities]
    number = await broadcasts.draft(desk.db, CHANNEL, chat_id, text, kept)
    count = len(await broadcasts.audience(desk.db, CHANNEL, chat_id))
    label = texts.text(order.lang, "admin-broadcast-send", limit=count)
    drop = texts.text(order.lang, "admin-broadcast-drop")
    keyboard = rows(
        ((label, data("broadcast", "send", number)), (drop, data("broadcast", "stop", number)))
    )
    await order.answer("admin-broadcast-preview", keyboard, limit=count)


async def on_tap(press: Press) -> None:
    """Send it, or send no more of it. Only its author's chat has these buttons."""
    db, message = press.desk.db, press.query.message
    found = await broadcasts.get(db, press.number)
    done = False
    if found is not None and message is not None and found.chat_id == message.chat.id:
        if press.action == "send":
            done = await broadcasts.send(
                db, found.id, actor=press.actor, message_id=message.message_id
            )
        elif press.action == "stop":
            done = await broadcasts.cancel(db, found.id, actor=press.actor)
    if not done or found is None or not isinstance(message, Message):
        await notice(press.query, texts.text(press.lang, "tap-stale"))
        return
    sent = press.action == "send"
    name = "admin-broadcast-begun" if sent else "admin-broadcast-stopped"
    await notice(press.query, texts.text(press.lang, name))
    if not sent and found.status is BroadcastStatus.DRAFT:
        target = Target(chat_id=message.chat.id, thread_id=None, message_id=None)
        await delivery.edit(
            press.desk.bot, target, message.message_id, Part(texts.text(press.lang, name))
        )
    elif not sent:
        await report(db, press.desk.bot, found.id)


def announcement(message: Message) -> tuple[str, tuple[MessageEntity, ...]]:
    """The text behind the command, or of the message replied to, and how it is set."""
    whole = message.text or ""
    parts = whole.split(maxsplit=1)
    if len(parts) == 2:
        text, start = parts[1].rstrip(), units(whole[: len(whole) - len(parts[1])])
        source = message.entities
    elif message.reply_to_message is not None and message.reply_to_message.text:
        text, start = message.reply_to_message.text, 0
        source = message.reply_to_message.entities
    else:
        return "", ()
    end = start + units(text)
    kept = []
    for entity in source:
        first, last = max(entity.offset, start), min(entity.offset + entity.length, end)
        if first < last:
            values = entity.to_dict() | {"offset": first - start, "length": last - first}
            kept.append(MessageEntity.de_json(values, None))
    return text, tuple(kept)


# -- sending -----------------------------------------------------------------------------------


async def run(db: Database, bot: MeteredBot, *, scale: float = 1.0) -> None:
    """Send what is to be sent, until cancelled; the letter in hand may still arrive then."""
    if lost := await broadcasts.abandon(db, CHANNEL):
        log.warning("bot.letters_unknown", count=lost)
    async with wake.listen(db, broadcasts.TOPIC) as bell:
        while True:
            found = await broadcasts.sending(db, CHANNEL)
            if found is None:
                await bell.wait(REPORT)
                continue
            stopping = asyncio.Event()
            working = asyncio.create_task(_some(db, bot, found, stopping, scale))
            try:
                await asyncio.shield(working)
            except asyncio.CancelledError:
                stopping.set()
                await asyncio.wait({working}, timeout=LAST)
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
                raise


async def _some(
    db: Database, bot: MeteredBot, found: Broadcast, stopping: asyncio.Event, scale: float
) -> None:
    """Send letters for as long as one report lasts, then report."""
    loop = asyncio.get_running_loop()
    until = loop.time() + REPORT * scale
    while loop.time() < until and not stopping.is_set():
        chat_id = await broadcasts.take(db, found.id)
        if chat_id is None:
            await broadcasts.finish(db, found.id)
            break
        status = await _hand_over(db, bot, found, chat_id)
        await broadcasts.settle(db, found.id, chat_id, status)
        if status in (LetterStatus.TODO, LetterStatus.UNKNOWN):
            await _until_reachable(bot, stopping, scale)
        await asyncio.sleep(PACE * scale)
    await report(db, bot, found.id)


async def _hand_over(db: Database, bot: MeteredBot, found: Broadcast, chat_id: int) -> LetterStatus:
    entities = [MessageEntity.de_json(dict(entity), bot) for entity in found.entities]
    try:
        await bot.send_message(
            chat_id, found.text, entities=entities, rate_limit_args=Priority.NORMAL
        )
    except Forbidden:
        await people.set_chat(db, CHANNEL, chat_id, gone=db.now())
        return LetterStatus.BLOCKED
    except BadRequest as error:  # the account is deleted, or never spoke to this bot
        log.info("bot.letter_refused", error=error.message)
        return LetterStatus.BLOCKED
    except NetworkError as error:
        log.warning("bot.letter_uncertain", error=type(error).__name__)
        return LetterStatus.TODO if never_left(error) else LetterStatus.UNKNOWN
    return LetterStatus.SENT


async def _until_reachable(bot: MeteredBot, stopping: asyncio.Event, scale: float) -> None:
    """Wait until Telegram answers: an outage must not make everybody's letter uncertain."""
    pause = PAUSE
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause * scale)
        pause = min(pause * 2, LONGEST_PAUSE)
        with contextlib.suppress(NetworkError):
            await bot.get_me()
            return


async def report(db: Database, bot: MeteredBot, number: int) -> None:
    """Tell the author how it goes; a report that cannot be given is given next time."""
    found, count = await broadcasts.get(db, number), await broadcasts.tally(db, number)
    if found is None or found.message_id is None:
        return
    author = await people.user(db, CHANNEL, found.chat_id)
    lang: Lang = texts.language(author.language, None, db.settings.language)
    names = {
        BroadcastStatus.SENDING: "admin-broadcast-sending",
        BroadcastStatus.CANCELLED: "admin-broadcast-cancelled",
    }
    values: dict[str, Any] = {
        "sent": count.sent,
        "total": count.total,
        "blocked": count.blocked,
        "unknown": count.unknown,
    }
    text = texts.text(lang, names.get(found.status, "admin-broadcast-sent"), **values)
    stop = (texts.text(lang, "button-stop"), data("broadcast", "stop", number))
    keyboard = rows((stop,)) if found.status is BroadcastStatus.SENDING else None
    target = Target(chat_id=found.chat_id, thread_id=None, message_id=None)
    try:
        await delivery.edit(
            bot, target, found.message_id, Part(text), keyboard, priority=Priority.NORMAL
        )
    except TelegramError as error:
        log.info("bot.broadcast_not_reported", error=type(error).__name__)
