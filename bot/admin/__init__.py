"""The administrators' commands: who may give them, and which function does each.

```
 update ─▶ from one of FOODCRITIC_ADMINS, in private? ─┬─ yes ─▶ COMMANDS, TAPS
                                                       └─ no ──▶ the handlers for everybody
```

Being in the settings is the only way in. To everybody else these commands are as unknown as any
other, and their buttons' data as stale as any: nothing says that they exist. In groups nobody has
them, for the answers would be read by all.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeAlias

from telegram import Chat, Message, Update
from telegram.ext import Application, BaseHandler, CommandHandler, MessageHandler, filters

from bot.admin.broadcast import on_broadcast
from bot.admin.broadcast import on_tap as on_broadcast_tap
from bot.admin.herald import remember
from bot.admin.maintenance import on_maintenance
from bot.admin.models import on_models, on_models_tap
from bot.admin.orders import DATA, Order, Press
from bot.admin.people import on_ban, on_quota, on_unban
from bot.admin.retrain import on_retrain, on_retrain_tap
from bot.admin.review import card_of, on_reply, on_review
from bot.admin.review import on_tap as on_review_tap
from bot.admin.stats import on_stats
from bot.desk import Desk, language

AnyApplication: TypeAlias = Application[Any, Any, Any, Any, Any, Any]

#: What follows the slash, and what does it.
COMMANDS: Final[Mapping[str, Callable[[Order], Awaitable[None]]]] = {
    "stats": on_stats,
    "review": on_review,
    "quota": on_quota,
    "ban": on_ban,
    "unban": on_unban,
    "broadcast": on_broadcast,
    "maintenance": on_maintenance,
    "retrain": on_retrain,
    "models": on_models,
}
#: The `name` in a button's data (`orders.data`), and what answers the tap.
TAPS: Final[Mapping[str, Callable[[Press], Awaitable[None]]]] = {
    "review": on_review_tap,
    "broadcast": on_broadcast_tap,
    "retrain": on_retrain_tap,
    "models": on_models_tap,
}


def register(application: AnyApplication, desk: Desk) -> None:
    """Add the handlers; before those for everybody, which must not see what these answer."""
    admins = desk.db.settings.admins
    if not admins:
        return
    theirs = filters.UpdateType.MESSAGE & filters.ChatType.PRIVATE & filters.User(admins)
    for name in COMMANDS:
        application.add_handler(CommandHandler(name, _commanded(desk, name), filters=theirs))
    application.add_handler(AdminTap(desk))
    replies = theirs & filters.REPLY & filters.TEXT & ~filters.COMMAND & CardReply(desk)
    application.add_handler(MessageHandler(replies, _replied(desk)))


class CardReply(filters.MessageFilter):
    """Replies to a card of /review, which is a message of ours."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def filter(self, message: Message) -> bool:
        card = message.reply_to_message
        if card is None or card.from_user is None or card.from_user.id != self._desk.bot.id:
            return False
        return card_of(card) is not None


class AdminTap(BaseHandler[Update, Any, None]):
    """Taps of administrators on buttons of theirs, in private; all others are not for us."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(self._tapped)
        self._desk = desk

    def check_update(self, update: object) -> bool:
        if not isinstance(update, Update) or (query := update.callback_query) is None:
            return False
        if query.from_user.id not in self._desk.db.settings.admins or query.message is None:
            return False
        match = DATA.fullmatch(query.data or "")
        return query.message.chat.type == Chat.PRIVATE and match is not None and match[1] in TAPS

    async def _tapped(self, update: Update, context: Any) -> None:
        query = update.callback_query
        assert query is not None
        match = DATA.fullmatch(query.data or "")
        assert match is not None, "check_update lets nothing else through"
        press = Press(
            desk=self._desk,
            query=query,
            user=query.from_user,
            lang=await language(self._desk, query.from_user),
            action=match["action"],
            number=int(match["number"]),
            seal=match["seal"] or "",
        )
        await TAPS[match["name"]](press)


def _commanded(desk: Desk, name: str) -> Callable[[Update, Any], Coroutine[Any, Any, None]]:
    async def callback(update: Update, context: Any) -> None:
        await COMMANDS[name](await _order(desk, update))

    return callback


def _replied(desk: Desk) -> Callable[[Update, Any], Coroutine[Any, Any, None]]:
    async def callback(update: Update, context: Any) -> None:
        order = await _order(desk, update)
        assert order.message.reply_to_message is not None, "the filter lets only replies through"
        number = card_of(order.message.reply_to_message)
        assert number is not None, "and only to cards"
        await on_reply(order, number)

    return callback


async def _order(desk: Desk, update: Update) -> Order:
    message, user = update.effective_message, update.effective_user
    assert message is not None
    assert user is not None, "the filter lets only known users through"
    lang = await language(desk, user)
    await remember(desk.db, user.id, lang)
    return Order(desk=desk, message=message, user=user, lang=lang, rest=_rest(message))


def _rest(message: Message) -> str:
    """What stands behind the command, as it was written."""
    parts = (message.text or "").split(maxsplit=1)
    return parts[1].strip() if len(parts) == 2 else ""
