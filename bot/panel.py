"""`/settings`: the house rules of a chat as buttons, for its administrators alone.

Whoever taps is looked up with getChatMember at each tap: a panel stays in the chat for ever, and an
administrator of yesterday is none today. In a private chat everybody is their own administrator.
"""

import re
from dataclasses import replace
from typing import Any, Final

import structlog
from telegram import (
    CallbackQuery,
    Chat,
    ChatMember,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    Update,
)
from telegram.error import BadRequest, Forbidden, TelegramError
from telegram.ext import CallbackQueryHandler, CommandHandler, filters

from bot import delivery, texts
from bot.courier import CHANNEL
from bot.delivery import Target
from bot.desk import Desk, bound, is_group, language, say
from bot.markup import Part
from bot.taps import notice
from bot.texts import Lang
from foodcritic import house
from foodcritic.house import COOLDOWNS, Rules
from foodcritic.prompts import TONES

log = structlog.get_logger(__name__)

COMMAND: Final = "settings"
PREFIX: Final = "set:"
DATA: Final = re.compile(r"set:(language|memes|tone|cooldown|done):([a-z]{2,8}|\d{1,4})")
#: What can be chosen, by rule: what a button says back, and the value it stands for.
CHOICES: Final[dict[str, dict[str, Any]]] = {
    "language": {"auto": None, "zh": "zh", "en": "en"},
    "memes": {"on": True, "off": False},
    "tone": {tone: tone for tone in TONES},
    "cooldown": {str(seconds): seconds for seconds in COOLDOWNS},
}
#: In a private chat the rest is /language, or nobody's business.
IN_PRIVATE: Final = ("tone",)
RULERS: Final = (ChatMember.OWNER, ChatMember.ADMINISTRATOR)


def register(application: Any, desk: Desk) -> None:
    """Add the command and its taps."""
    new = filters.UpdateType.MESSAGE
    application.add_handler(CommandHandler(COMMAND, bound(desk, on_settings), filters=new))
    application.add_handler(CallbackQueryHandler(bound(desk, on_tap), pattern=f"^{PREFIX}"))


async def on_settings(desk: Desk, update: Update) -> None:
    message = update.effective_message
    assert message is not None
    user, chat = message.from_user, message.chat
    lang = await language(desk, user, chat)
    hidden = message.sender_chat is not None and message.sender_chat.id == chat.id
    if not hidden and (user is None or not await may_rule(desk, chat, user.id)):
        await say(desk, message, texts.text(lang, "settings-admins-only"))
        return
    rules = await house.rules(desk.db, CHANNEL, chat.id)
    await say(desk, message, text(lang, chat), keyboard(lang, chat, rules))


async def on_tap(desk: Desk, update: Update) -> None:
    query = update.callback_query
    assert query is not None
    message = query.message
    match = DATA.fullmatch(query.data or "")
    chat = message.chat if message is not None else None
    lang = await language(desk, query.from_user, chat)
    if match is None or not isinstance(message, Message) or chat is None:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    if not await may_rule(desk, chat, query.from_user.id):
        await notice(query, texts.text(lang, "tap-admins-only"))
        return
    name, choice = match[1], match[2]
    if name == "done":
        await notice(query, texts.text(lang, "tap-done"))
        await delivery.delete(desk.bot, target_of(message), message.message_id)
        return
    if choice not in CHOICES[name] or (not is_group(chat) and name not in IN_PRIVATE):
        await notice(query, texts.text(lang, "tap-stale"))
        return
    await change(desk, query, message, name, CHOICES[name][choice])


async def change(desk: Desk, query: CallbackQuery, message: Message, name: str, value: Any) -> None:
    """Set one rule and show the panel as it is then."""
    chat = message.chat
    rules = await house.change(desk.db, CHANNEL, chat.id, **{name: value})
    log.info("bot.house_rule_changed", rule=name, value=value)
    lang = await language(desk, query.from_user, chat)
    await notice(query, texts.text(lang, "tap-saved"))
    try:
        await delivery.edit(
            desk.bot,
            target_of(message),
            message.message_id,
            Part(text(lang, chat)),
            keyboard(lang, chat, rules),
        )
    except (BadRequest, Forbidden) as error:
        log.info("bot.panel_not_shown", error=error.message)


async def may_rule(desk: Desk, chat: Chat, user_id: int) -> bool:
    """Whether somebody administers a chat now."""
    if not is_group(chat):
        return chat.id == user_id
    try:
        member = await desk.bot.get_chat_member(chat.id, user_id)
    except TelegramError as error:
        log.info("bot.member_unknown", error=error.message)
        return False
    return member.status in RULERS


def target_of(message: Message) -> Target:
    return Target(chat_id=message.chat.id, thread_id=None, message_id=None)


def text(lang: Lang, chat: Chat) -> str:
    """What stands above the buttons."""
    if is_group(chat):
        return texts.text(lang, "settings-group", title=chat.title or "")
    return texts.text(lang, "settings-private")


def keyboard(lang: Lang, chat: Chat, rules: Rules) -> InlineKeyboardMarkup:
    """One row a rule, what holds now marked."""
    rows = []
    for name, choices in CHOICES.items():
        if not is_group(chat) and name not in IN_PRIVATE:
            continue
        row = []
        for data, value in choices.items():
            mark = "✓ " if replace(rules, **{name: value}) == rules else ""
            row.append(
                InlineKeyboardButton(mark + label(lang, name, data), None, f"set:{name}:{data}")
            )
        rows.append(row)
    rows.append([InlineKeyboardButton(texts.text(lang, "settings-done"), None, "set:done:ok")])
    return InlineKeyboardMarkup(rows)


def label(lang: Lang, name: str, data: str) -> str:
    """What a button says."""
    if name == "cooldown":
        return texts.text(lang, "settings-cooldown", seconds=int(data))
    if name == "language" and data != "auto":
        return texts.NAMES["zh" if data == "zh" else "en"]
    return texts.text(lang, f"settings-{name}-{data}")
