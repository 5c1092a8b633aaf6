"""Taking in a request, or saying why it must wait and until when; a group hears it only once.

The time is a Telegram entity: clients show it in their owner's own time zone.
"""

import math
from datetime import UTC, datetime, timedelta

from telegram import Message, MessageEntity, User

from bot import texts
from bot.courier import CHANNEL
from bot.desk import Desk, is_group, language, say, say_part
from bot.markup import Part, units
from bot.texts import Lang
from foodcritic import limits, queue
from foodcritic.errors import QueueFull
from foodcritic.jobs import Job, NewJob
from foodcritic.limits import LimitReached, Refusal

#: Told refusals kept in mind.
REMEMBERED = 1000
#: How long a group is not told again what has no end that we know.
PAUSE = timedelta(hours=1)


async def enqueue(desk: Desk, new: NewJob, lang: Lang) -> Job | Part:
    """The job of a request; where it may not be made, what to say instead."""
    try:
        return await limits.enqueue(desk.db, new)
    except LimitReached as error:
        return part(lang, error.refusal, desk.db.now())
    except QueueFull as error:
        return Part(full(lang, error))


async def enqueue_from(desk: Desk, message: Message, new: NewJob, lang: Lang) -> Job | None:
    """The job of a message that was not `refused`; None: the queue is full, and they are told."""
    try:
        return await queue.enqueue(desk.db, new)
    except QueueFull as error:
        await say(desk, message, full(lang, error))
        return None


async def refused(desk: Desk, message: Message, user: User, key: str) -> bool:
    """Whether this person must wait; they are told why, and until when."""
    refusal = await limits.check(
        desk.db,
        NewJob(
            key=key, channel=CHANNEL, chat_id=message.chat.id, user_id=user.id, lang="", photos=()
        ),
    )
    if refusal is None:
        return False
    if not is_group(message.chat) or first_time(desk, message.chat.id, user.id, refusal):
        lang = await language(desk, user, message.chat)
        await say_part(desk, message, part(lang, refusal, desk.db.now()))
    return True


def first_time(desk: Desk, chat_id: int, user_id: int, refusal: Refusal) -> bool:
    """Whether they have not been told yet: a group need not hear it twice."""
    everybody = refusal.scope in ("maintenance", "chat_minute", "chat_day")
    who = (chat_id, 0 if everybody else user_id, refusal.scope)
    return once(desk, who, (refusal.until or desk.db.now() + PAUSE) - desk.db.now())


def once(desk: Desk, who: tuple[int, int, str], wait: timedelta) -> bool:
    """Whether it was not said within the last `wait`; it is now."""
    now, told = desk.db.now(), desk.told
    if told.get(who, now) > now:
        return False
    if len(told) >= REMEMBERED:
        for old in [key for key, until in told.items() if until <= now]:
            del told[old]
    told[who] = now + wait
    return True


def part(lang: Lang, refusal: Refusal, now: datetime) -> Part:
    """What somebody reads who has asked too often."""
    if refusal.scope == "maintenance":
        return Part(texts.text(lang, "maintenance"))
    if refusal.until is None:
        return Part(texts.text(lang, "limit-none"))
    until = refusal.until.astimezone(UTC)
    soon = until - now < timedelta(hours=12)
    clock = f"{until:%H:%M:%S} UTC" if soon else f"{until:%Y-%m-%d %H:%M} UTC"
    name = f"limit-{refusal.scope.replace('_', '-')}"
    text = texts.text(lang, name, limit=refusal.limit, time=clock)
    when = MessageEntity(
        MessageEntity.DATE_TIME,
        units(text[: text.index(clock)]),
        units(clock),
        date_time_format="T" if soon else "wdt",
        # Shown to the second, so never before it is true.
        unix_time=datetime.fromtimestamp(math.ceil(until.timestamp()), UTC),
    )
    return Part(text, (when,))


def full(lang: Lang, error: QueueFull) -> str:
    """Why the queue has no room, and until about when."""
    if error.scope == "user":
        seconds = max(1, math.ceil(error.seconds))
        return texts.text(lang, "queue-full-user", limit=error.limit, seconds=seconds)
    return texts.text(lang, "queue-full-total", minutes=max(1, math.ceil(error.seconds / 60)))
