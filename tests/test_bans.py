"""Bans and the audit name people by a hash that only the key's holder can make."""

from __future__ import annotations

import multiprocessing
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from foodcritic import audit, bans, maintenance, pseudonyms
from foodcritic.db import Database
from foodcritic.errors import SettingsError
from tests.conftest import settings_for

Other = Callable[..., Database]


async def test_who_is_banned_is_banned_on_their_channel_until_let_in_again(db: Database) -> None:
    assert await bans.ban(db, "telegram", 42, actor="telegram:1")
    assert not await bans.ban(db, "telegram", 42, actor="telegram:1")
    assert await bans.banned(db, db.settings, "telegram", 42)
    assert not await bans.banned(db, db.settings, "web", 42)
    assert not await bans.banned(db, db.settings, "telegram", 4)
    assert await bans.lift(db, "telegram", 42, actor="telegram:1")
    assert not await bans.lift(db, "telegram", 42, actor="telegram:1")
    assert not await bans.banned(db, db.settings, "telegram", 42)


async def test_each_deed_is_in_the_audit_once_and_names_nobody(db: Database) -> None:
    for _ in range(2):
        await bans.ban(db, "telegram", 4242, actor="telegram:1")
    await maintenance.switch(db, on=True, actor="telegram:1")
    await bans.lift(db, "telegram", 4242, actor="telegram:1")
    entries = await audit.latest(db)
    assert [(e.actor, e.action) for e in entries] == [
        ("telegram:1", "unban"),
        ("telegram:1", "maintenance"),
        ("telegram:1", "ban"),
    ]
    assert entries[0].subject == entries[2].subject == pseudonyms.of(db.settings, "telegram", 4242)
    assert "4242" not in str([(e.subject, e.detail) for e in entries])


async def test_a_forgotten_administrators_deeds_stay_under_a_pseudonym(db: Database) -> None:
    await audit.record(db, "telegram:1", "broadcast", "7", people=3)
    await audit.record(db, "telegram:11", "broadcast", "8")
    async with db.write() as session:
        await audit.forget(session, db, "telegram", 1)
    second, first = await audit.latest(db)
    assert first.actor == pseudonyms.of(db.settings, "telegram", 1)
    assert (first.detail, second.actor) == ({"people": 3}, "telegram:11")


async def test_maintenance_is_seen_at_once(db: Database) -> None:
    assert not await maintenance.is_on(db)
    for on in (True, True, False):
        await maintenance.switch(db, on=on, actor="telegram:1")
        assert await maintenance.is_on(db) is on


async def test_another_key_knows_nobody(db: Database, other: Other) -> None:
    keyed = other(hash_key=settings_for(Path("x"), hash_key="secret").hash_key)
    await bans.ban(keyed, "telegram", 42, actor="shell")
    assert await bans.banned(keyed, keyed.settings, "telegram", 42)
    assert not await bans.banned(db, db.settings, "telegram", 42)


def test_the_key_is_made_once_for_us_alone(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "home")
    first = pseudonyms.of(settings, "telegram", 42)
    key = settings.home / pseudonyms.KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    pseudonyms._key.cache_clear()
    assert pseudonyms.of(settings, "telegram", 42) == first
    assert list(settings.home.iterdir()) == [key]


def _pseudonym(home: Path) -> str:
    return pseudonyms.of(settings_for(home), "telegram", 42)


def test_processes_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(_pseudonym, [tmp_path] * 16))) == 1


@pytest.mark.parametrize("text", ["", "zz", "ab" * 31])
def test_a_damaged_key_is_refused_and_not_replaced(tmp_path: Path, text: str) -> None:
    key = tmp_path / pseudonyms.KEY_FILE
    key.write_text(text)
    with pytest.raises(SettingsError, match=r"hash\.key"):
        _pseudonym(tmp_path)
    assert key.read_text() == text
