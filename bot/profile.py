"""`foodcritic bot --setup`: the commands, description and short description that Telegram shows.

Commands are told per scope and language: in a private chat all of them, in groups what is useful
there, to a group's administrators also /settings, and to the operators, in their private chat only,
what is theirs. English is also for everybody whose language we do not speak.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from telegram import (
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllChatAdministrators,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BotCommandScopeDefault,
)
from telegram.error import BadRequest, InvalidToken, TelegramError

from bot import admin, texts
from bot.budget import MeteredBot
from bot.texts import Lang
from foodcritic.errors import FoodcriticError, SettingsError

log = structlog.get_logger(__name__)

PRIVATE: Final = (
    *("start", "new", "meme", "settings", "language"),
    *("privacy", "export", "forget", "help"),
)
GROUP: Final = ("meme", "new", "language", "help")
RULERS: Final = ("meme", "settings", "new", "language", "help")
SCOPES: Final[tuple[tuple[BotCommandScope, Sequence[str]], ...]] = (
    (BotCommandScopeDefault(), PRIVATE),
    (BotCommandScopeAllPrivateChats(), PRIVATE),
    (BotCommandScopeAllGroupChats(), GROUP),
    (BotCommandScopeAllChatAdministrators(), RULERS),
)


async def set_up(bot: MeteredBot, admins: Sequence[int]) -> None:
    """Tell Telegram the profile in both languages; once is enough, again does no harm.

    Raises:
        SettingsError: Telegram refuses the token.
        FoodcriticError: Telegram cannot be reached, or refuses something.
    """
    try:
        async with bot:
            for lang in texts.LANGUAGES:
                code = "" if lang == "en" else lang
                for scope, names in SCOPES:
                    await bot.set_my_commands(commands(lang, names), scope, code)
                for person in admins:
                    await _tell_operator(bot, person, lang, code)
                await bot.set_my_description(texts.text(lang, "profile-description"), code)
                await bot.set_my_short_description(texts.text(lang, "profile-short"), code)
    except InvalidToken as error:
        raise SettingsError(
            "Telegram refuses TELEGRAM_BOT_TOKEN: get a new one from @BotFather"
        ) from error
    except TelegramError as error:
        raise FoodcriticError(f"the profile could not be set: {error.message}") from error


def commands(lang: Lang, names: Sequence[str]) -> list[BotCommand]:
    """Commands with what Telegram says about them."""
    return [BotCommand(name, about(lang, name)) for name in names]


def about(lang: Lang, name: str) -> str:
    """What Telegram says about a command; of an operator's, who knows it, the name may do."""
    known = texts.bundle(lang).has_message(f"command-{name}")
    return texts.text(lang, f"command-{name}") if known else name


async def _tell_operator(bot: MeteredBot, person: int, lang: Lang, code: str) -> None:
    try:
        theirs = commands(lang, (*PRIVATE, *admin.COMMANDS))
        await bot.set_my_commands(theirs, BotCommandScopeChat(person), code)
    except BadRequest as error:  # they have not written to the bot yet
        log.warning(
            "bot.operator_not_told",
            user=person,
            error=error.message,
            remedy="write /start to the bot",
        )
