"""Groups: being added and removed, becoming a supergroup, and saying what we can see there."""

from typing import Any

import structlog
from telegram import Chat, ChatMember, Message, Update
from telegram.error import BadRequest, Forbidden, TelegramError
from telegram.ext import ChatMemberHandler, MessageHandler, filters

from bot import texts
from bot.budget import Budget
from bot.courier import CHANNEL
from bot.desk import Desk, bound, is_group, language, say
from bot.texts import Lang
from foodcritic import people

log = structlog.get_logger(__name__)

GONE = (ChatMember.LEFT, ChatMember.BANNED)


def register(application: Any, desk: Desk) -> None:
    """Add the handlers of what happens to us in chats."""
    moved = filters.UpdateType.MESSAGE & filters.StatusUpdate.MIGRATE
    application.add_handler(MessageHandler(moved, bound(desk, on_migrated)))
    kind = ChatMemberHandler.MY_CHAT_MEMBER
    application.add_handler(ChatMemberHandler(bound(desk, on_membership), kind))


async def on_membership(desk: Desk, update: Update) -> None:
    """We were added, removed, blocked or let in again."""
    change = update.my_chat_member
    assert change is not None
    chat = change.chat
    inside = change.new_chat_member.status not in GONE
    was_inside = change.old_chat_member.status not in GONE
    gone = None if inside else desk.db.now()
    await people.set_chat(desk.db, CHANNEL, chat.id, kind=str(chat.type), gone=gone)
    if not inside or was_inside or not is_group(chat):
        return
    lang = await language(desk, change.from_user, chat)
    all_seen = sees_all(desk) or change.new_chat_member.status == ChatMember.ADMINISTRATOR
    hello = explanation(desk, lang, "group-hello", all_seen)
    try:
        await desk.bot.send_message(chat.id, hello)
    except (BadRequest, Forbidden) as error:
        log.info("bot.not_greeted", error=error.message)


async def explain(desk: Desk, message: Message) -> None:
    """`/help` and `/start` in a group."""
    lang = await language(desk, message.from_user, message.chat)
    all_seen = sees_all(desk) or await is_administrator(desk, message.chat)
    await say(desk, message, explanation(desk, lang, "group-help", all_seen))


def explanation(desk: Desk, lang: Lang, name: str, all_seen: bool) -> str:
    """How to talk to us, and what Telegram lets us see."""
    me = str(desk.bot.bot.username)
    sight = texts.text(lang, "group-sees-all" if all_seen else "group-privacy", name=me)
    return f"{texts.text(lang, name, name=me)}\n\n{sight}"


def sees_all(desk: Desk) -> bool:
    """Whether privacy mode is off."""
    return bool(desk.bot.bot.can_read_all_group_messages)


async def is_administrator(desk: Desk, chat: Chat) -> bool:
    """Whether we administer a group: privacy mode hides nothing from administrators."""
    try:
        return (await desk.bot.get_chat_member(chat.id, desk.bot.id)).status in (
            ChatMember.ADMINISTRATOR,
            ChatMember.OWNER,
        )
    except TelegramError as error:
        log.info("bot.member_unknown", error=error.message)
        return False


async def on_migrated(desk: Desk, update: Update) -> None:
    """A group became a supergroup; both chats say so, either may come first."""
    message = update.effective_message
    assert message is not None
    old, new = message.chat.id, message.migrate_to_chat_id
    if message.migrate_from_chat_id:
        old, new = message.migrate_from_chat_id, message.chat.id
    if not new:
        return
    await people.move_chat(desk.db, CHANNEL, old, new)
    if isinstance(budget := desk.bot.rate_limiter, Budget):
        budget.migrate(old, new)
