"""Who is let in: people, not bots, nobody banned, only whom an allow-list names if there is one."""

import contextlib

from telegram import Chat, Message, Update, User
from telegram.error import TelegramError

from bot import texts
from bot.albums import Album
from bot.courier import CHANNEL
from bot.desk import Desk, is_group, language, say
from foodcritic import bans, limits


async def admit(desk: Desk, update: Update | Album) -> bool:
    """Whether an update is handled at all; in private, who is not on the allow-list is told."""
    user: User | None
    chat: Chat | None
    if isinstance(update, Album):
        message: Message | None = update.messages[0]
        user, chat = update.messages[0].from_user, update.messages[0].chat
    else:
        message = update.message or update.edited_message or update.guest_message
        user, chat = update.effective_user, update.effective_chat
    if user is None:
        return True
    if is_machine(desk, user, chat, message):
        return False
    # That we were added, removed or blocked is worth knowing, whoever it was.
    worth_knowing = isinstance(update, Update) and update.my_chat_member is not None
    if await is_banned(desk, user):
        return worth_knowing
    if limits.allowed(desk.db.settings, user.id, chat.id if chat is not None else None):
        return True
    await turn_away(desk, message, user)
    return worth_knowing


async def is_banned(desk: Desk, user: User) -> bool:
    """Banned people get no answer, and no reason either; administrators cannot be."""
    settings = desk.db.settings
    if user.id in settings.admins:
        return False
    return await bans.banned(desk.db, settings, CHANNEL, user.id)


def is_machine(desk: Desk, user: User, chat: Chat | None, message: Message | None) -> bool:
    """Bots, ourselves and what was sent through us; not an administrator who hides their name."""
    if message is not None and message.via_bot is not None and message.via_bot.id == desk.bot.id:
        return True
    anonymous = message is not None and message.sender_chat is not None
    return user.is_bot and not (anonymous and message is not None and message.sender_chat == chat)


async def turn_away(desk: Desk, message: Message | None, user: User) -> None:
    """Say that this bot is not for everybody, where nobody else reads it."""
    if message is None or is_group(message.chat) or message.guest_query_id is not None:
        return
    with contextlib.suppress(TelegramError):
        await say(desk, message, texts.text(await language(desk, user), "not-on-the-list"))
