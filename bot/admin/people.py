"""/quota, /ban, /unban: what one person may do."""

from bot.admin.orders import Order, user_id
from bot.courier import CHANNEL
from foodcritic import bans, people

#: Jobs a day that /quota may grant.
MOST = 1_000_000


async def on_quota(order: Order) -> None:
    """/quota USER N: so many jobs a day; /quota USER default: as everybody."""
    db = order.desk.db
    match order.words:
        case [who, count] if user_id(who) and (count == "default" or _count(count) is not None):
            person, quota = int(who), None if count == "default" else int(count)
        case _:
            await order.answer("admin-quota-usage", limit=db.settings.user_jobs_per_day)
            return
    await people.set_quota(db, CHANNEL, person, quota, actor=order.actor)
    if quota is None:
        await order.answer(
            "admin-quota-default", name=str(person), limit=db.settings.user_jobs_per_day
        )
    else:
        await order.answer("admin-quota-set", name=str(person), limit=quota)


async def on_ban(order: Order) -> None:
    """/ban USER: answer them no more."""
    if (person := await _person(order, "admin-ban-usage")) is None:
        return
    if person in order.desk.db.settings.admins:
        await order.answer("admin-ban-admin")
        return
    new = await bans.ban(order.desk.db, CHANNEL, person, actor=order.actor)
    await order.answer("admin-banned" if new else "admin-banned-already", name=str(person))


async def on_unban(order: Order) -> None:
    """/unban USER: answer them again."""
    if (person := await _person(order, "admin-unban-usage")) is None:
        return
    gone = await bans.lift(order.desk.db, CHANNEL, person, actor=order.actor)
    await order.answer("admin-unbanned" if gone else "admin-not-banned", name=str(person))


async def _person(order: Order, usage: str) -> int | None:
    words = order.words
    person = user_id(words[0]) if len(words) == 1 else None
    if person is None:
        await order.answer(usage)
    return person


def _count(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and int(word[:9]) <= MOST else None
