"""What `foodcritic bot --setup` tells Telegram: commands per scope and language, descriptions."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr
from telegram import BotCommand
from telegram.ext import ApplicationBuilder, CommandHandler
from typer.testing import CliRunner

from bot import admin, app, handlers, profile
from bot.desk import Desk
from foodcritic.cli import app as command_line
from foodcritic.errors import FoodcriticError, SettingsError
from tests.botapi.faults import Fault, Kind
from tests.botapi.script import Telegram, telegram
from tests.botbench import configured, restaurant


def told(tg: Telegram, scope: dict[str, Any], code: str) -> list[str]:
    """The commands that Telegram knows for a scope and language."""
    for call in tg.world.made("setMyCommands"):
        if call.params["scope"] == scope and call.params.get("language_code", "") == code:
            return [command["command"] for command in call.params["commands"]]
    return []


@pytest.mark.parametrize("code", ["", "zh"])
async def test_each_scope_is_told_its_commands_in_each_language(tmp_path: Path, code: str) -> None:
    async with telegram() as tg:
        await app.set_up(configured(tmp_path, tg, admins=(42,)))
        await app.set_up(configured(tmp_path, tg, admins=(42,)))  # again does no harm
        assert "meme" in told(tg, {"type": "all_private_chats"}, code)
        assert "settings" not in told(tg, {"type": "all_group_chats"}, code)
        assert "settings" in told(tg, {"type": "all_chat_administrators"}, code)
        theirs = told(tg, {"type": "chat", "chat_id": 42}, code)
        assert set(admin.COMMANDS) <= set(theirs)
        for scope in ("default", "all_private_chats", "all_group_chats"):
            assert not set(admin.COMMANDS) & set(told(tg, {"type": scope}, code))
        for method in ("setMyDescription", "setMyShortDescription"):
            assert code in {c.params.get("language_code", "") for c in tg.world.made(method)}


async def test_every_command_is_told_and_every_told_one_exists(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        desk = Desk(db=place.db, bot=cast(Any, None), courier=cast(Any, None))
        application = ApplicationBuilder().token(place.tg.world.token).build()
        handlers.register(application, desk)
    known = {
        name
        for handler in application.handlers[0]
        if isinstance(handler, CommandHandler)
        for name in handler.commands
    }
    assert set(profile.PRIVATE) == known
    assert {*profile.GROUP, *profile.RULERS} <= known


def test_no_command_exceeds_what_telegram_takes() -> None:
    for lang in ("zh", "en"):
        for command in profile.commands(lang, (*profile.PRIVATE, *admin.COMMANDS)):
            assert isinstance(command, BotCommand)
            assert 1 <= len(command.description) <= 256


async def test_an_operator_who_never_wrote_to_the_bot_does_not_stop_it(tmp_path: Path) -> None:
    async with telegram() as tg:
        tg.world.refuses_scopes = {"chat"}
        await app.set_up(configured(tmp_path, tg, admins=(42,)))
        assert tg.world.made("setMyShortDescription")


async def test_the_command_says_what_it_did_or_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with telegram() as tg:
        monkeypatch.setenv("FOODCRITIC_HOME", str(tmp_path))
        monkeypatch.setenv("FOODCRITIC_TELEGRAM_API", tg.address)
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", tg.world.token)
        run = CliRunner().invoke
        done = await asyncio.to_thread(run, command_line, ["bot", "--setup"])
        assert (done.exit_code, "Telegram knows" in done.output) == (0, True), done.output
        wrong = {"telegram_bot_token": SecretStr("1000:wrong")}
        with pytest.raises(SettingsError, match="BotFather"):
            await app.set_up(configured(tmp_path, tg).model_copy(update=wrong))
        tg.world.faults.append(Fault(kind=Kind.SERVER_ERROR, method="setMyCommands", times=None))
        with pytest.raises(FoodcriticError, match="could not be set"):
            await profile.set_up(quick(app.make_bot(configured(tmp_path, tg), app.Pace())), ())


def quick(bot: Any) -> Any:
    """The same bot, which gives up at once."""
    bot.rate_limiter._pauses = ()
    return bot
