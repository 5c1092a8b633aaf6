"""Nobody asks more often than allowed, and everybody is told when they may again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from foodcritic import bans, house, limits, maintenance, people, queue
from foodcritic.columns import JobKind
from foodcritic.db import Database
from foodcritic.limits import LimitReached
from foodcritic.settings import Settings
from tests.conftest import Clock, new_job, settings_for

Other = Callable[..., Database]


async def asks(db: Database, name: str, user: int = 1, **values: object) -> None:
    await limits.enqueue(db, new_job(name, user=user, **values))


async def test_a_person_may_ask_so_often_a_minute_and_learns_when_again(
    other: Other, clock: Clock
) -> None:
    db = other(user_jobs_per_minute=2)
    first = clock()
    await asks(db, "a")
    clock.forward(seconds=20)
    await asks(db, "b")
    clock.forward(seconds=20)
    refusal = await limits.check(db, new_job("c"))
    assert refusal is not None
    assert (refusal.scope, refusal.limit) == ("user_minute", 2)
    assert refusal.until == first + timedelta(minutes=1)
    assert await limits.check(db, new_job("c", user=2)) is None
    clock.time = refusal.until
    await asks(db, "c")
    with pytest.raises(LimitReached, match="user_minute of 2"):
        await asks(db, "d")


async def test_a_request_that_is_known_is_never_refused(other: Other) -> None:
    db = other(user_jobs_per_minute=1)
    await asks(db, "a")
    await asks(db, "a")


async def test_a_day_counts_what_was_answered_and_forgives_what_failed(
    other: Other, clock: Clock
) -> None:
    db = other(user_jobs_per_day=2, user_jobs_per_minute=100)
    await asks(db, "a")
    job = await queue.claim(db, "w")
    assert job is not None
    await queue.fail(db, job, "engine")
    await asks(db, "b")
    await asks(db, "c")
    refusal = await limits.check(db, new_job("d"))
    assert refusal is not None
    assert (refusal.scope, refusal.until) == ("user_day", clock() + timedelta(days=1))


async def test_a_quota_of_ones_own_replaces_the_days_limit(other: Other) -> None:
    db = other(user_jobs_per_day=1)
    await people.set_user(db, "telegram", 1, quota=3)
    for name in "abc":
        await asks(db, name)
    assert await limits.check(db, new_job("d")) is not None
    await people.set_user(db, "telegram", 2, quota=0)
    refusal = await limits.check(db, new_job("e", user=2))
    assert refusal is not None
    assert (refusal.limit, refusal.until) == (0, None)


@pytest.mark.parametrize("unit", ["minute", "day"])
async def test_a_chat_has_limits_that_its_people_share(
    other: Other, clock: Clock, unit: str
) -> None:
    db = other(**{f"chat_jobs_per_{unit}": 2})
    await asks(db, "a", 1, chat_id=-5)
    await asks(db, "b", 2, chat_id=-5)
    refusal = await limits.check(db, new_job("c", user=3, chat_id=-5))
    assert refusal is not None
    assert refusal.scope == f"chat_{unit}"
    assert await limits.check(db, new_job("c", user=3, chat_id=-6)) is None


async def test_a_groups_cooldown_keeps_ones_questions_apart(db: Database, clock: Clock) -> None:
    await house.change(db, "telegram", -5, cooldown=30)
    await asks(db, "a", 1, chat_id=-5)
    await asks(db, "b", 2, chat_id=-5)
    await asks(db, "c", 1)
    refusal = await limits.check(db, new_job("d", chat_id=-5))
    assert refusal is not None
    assert (refusal.scope, refusal.limit) == ("cooldown", 30)
    clock.forward(seconds=30)
    await asks(db, "d", 1, chat_id=-5)


async def test_pictures_of_answers_cost_nothing(other: Other) -> None:
    db = other(user_jobs_per_minute=1, chat_jobs_per_minute=1)
    await queue.enqueue(db, new_job("card", kind=JobKind.CARD))
    await asks(db, "a")


async def test_rules_are_changed_one_by_one(db: Database) -> None:
    assert await house.rules(db, "telegram", -5) == house.Rules()
    await house.change(db, "telegram", -5, memes=False)
    changed = await house.change(db, "telegram", -5, tone="savage", language="zh")
    assert changed == await house.rules(db, "telegram", -5)
    assert changed == house.Rules(memes=False, tone="savage", language="zh")


@pytest.mark.parametrize(
    "stored", [{"cooldown": -1}, {"cooldown": 10**9}, {"tone": "rude"}, {"language": 5}, None]
)
def test_rules_that_nobody_set_through_us_do_no_harm(stored: dict[str, object] | None) -> None:
    assert house.read(stored) == house.Rules()


def test_an_allow_list_lets_in_whom_it_names_and_the_admins(settings: Settings) -> None:
    assert limits.allowed(settings, 1, -5)
    listed = settings_for(settings.home, allowed=(1, -5), admins=(9,))
    assert limits.allowed(listed, 1, 1)
    assert limits.allowed(listed, 2, -5)
    assert limits.allowed(listed, 9, 9)
    assert not limits.allowed(listed, 2, 2)


async def test_maintenance_lets_in_nobody_but_the_admins(other: Other) -> None:
    db = other(admins=(9,))
    await asks(db, "before")
    await maintenance.switch(db, on=True, actor="telegram:9")
    for values in ({"user": 1}, {"user": 9, "channel": "web"}):
        with pytest.raises(LimitReached, match="maintenance"):
            await asks(db, "new", **values)
    await asks(db, "before")
    await asks(db, "new", 9)


async def test_who_is_banned_has_a_quota_of_none_wherever_they_ask(other: Other) -> None:
    db = other(admins=(9,))
    for user, channel in ((1, "web"), (9, "telegram")):
        await bans.ban(db, channel, user, actor="shell")
    with pytest.raises(LimitReached) as refused:
        await asks(db, "a", 1, channel="web")
    assert (refused.value.refusal.limit, refused.value.refusal.until) == (0, None)
    await asks(db, "b", 1)
    await asks(db, "c", 9)
