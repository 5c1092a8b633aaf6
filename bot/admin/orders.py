"""What an administrator asks for: a command or a tap, with what it takes to answer.

Only `bot.admin` makes these, and only of what the settings' administrators send in private.
"""

import re
from dataclasses import dataclass

from telegram import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, User

from bot import texts
from bot.courier import CHANNEL
from bot.desk import Desk, say
from bot.texts import Lang

#: ``admin:<what>:<action>:<number>[:<seal>]``; of what we never sent, nothing matches.
DATA = re.compile(
    r"admin:(?P<name>[a-z]{1,16}):(?P<action>[a-z]{1,16}):(?P<number>[1-9][0-9]{0,17})"
    r"(?::(?P<seal>[0-9a-f]{8}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command."""

    desk: Desk
    message: Message
    user: User
    lang: Lang
    #: what stands behind the command
    rest: str

    @property
    def actor(self) -> str:
        """Who gave it, as the audit names them."""
        return f"{CHANNEL}:{self.user.id}"

    @property
    def words(self) -> list[str]:
        """`rest`, split at white space."""
        return self.rest.split()

    async def answer(
        self, name: str, /, keyboard: InlineKeyboardMarkup | None = None, **values: str | int
    ) -> None:
        """Answer with one of our texts."""
        text = texts.text(self.lang, name, **values)
        await say(self.desk, self.message, text, keyboard, reply=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A tap on a button of ours."""

    desk: Desk
    query: CallbackQuery
    user: User
    lang: Lang
    action: str
    number: int
    #: of what the button stood under, see `data`
    seal: str

    @property
    def actor(self) -> str:
        """Whose finger it was, as the audit names them."""
        return f"{CHANNEL}:{self.user.id}"


def data(name: str, action: str, number: int, seal: str = "") -> str:
    """The callback data of a button.

    `seal` is a digest, 8 hexadecimal digits, of what the administrator was shown: who taps agrees
    to that, and not to what it has become since.
    """
    made = f"admin:{name}:{action}:{number}" + (f":{seal}" if seal else "")
    assert DATA.fullmatch(made), made
    return made


def rows(*buttons: tuple[tuple[str, str], ...]) -> InlineKeyboardMarkup:
    """Rows of (label, data)."""
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(label, callback_data=d) for label, d in row] for row in buttons]
    )


def user_id(word: str) -> int | None:
    """A Telegram user's number as people write it; None for anything else."""
    return int(word) if re.fullmatch(r"[1-9][0-9]{0,15}", word, re.ASCII) else None
