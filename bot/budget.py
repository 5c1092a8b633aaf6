"""One budget per chat for everything sent, edited, deleted or acted on there.

Telegram meters a chat as a whole: about one call a second in a private chat with short bursts,
20 a minute in a group, 30 a second over all chats (core.telegram.org/bots/faq). `Budget` keeps
below that with sliding windows, lets the urgent overtake the rest, and drops what is merely nice:

    URGENT   a final answer, the reply to a command     waits for room, goes first
    NORMAL   status and queue position                  waits for room
    SPARE    a draft, a typing action                   now, leaving room for others, or `Dropped`

When Telegram says "retry after" all the same, that chat alone waits. A call that is safe to repeat
is repeated after a network error or a 5xx; one that is not raises, unless it never left. A bot that
is started again begins with what was sent before (`bot.ledger`).
"""

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx
import structlog
from telegram.error import BadRequest, NetworkError, RetryAfter
from telegram.ext import BaseRateLimiter, ExtBot

from bot.gate import Gate, Limit, Priority
from bot.ledger import Ledger
from foodcritic.errors import FoodcriticError

#: PTB's bot with a budget: its methods take `rate_limit_args=Priority…`.
MeteredBot: TypeAlias = ExtBot[Priority]

log = structlog.get_logger(__name__)


class Dropped(FoodcriticError):
    """A spare call found no room: show the next one instead."""


PRIVATE = Limit(count=5, seconds=5.2)
GROUP = Limit(count=20, seconds=60.5)
OVERALL = Limit(count=29, seconds=1.05)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a chat bears; a little less than Telegram's own numbers, for clocks differ."""

    private: Limit = PRIVATE
    group: Limit = GROUP
    overall: Limit = OVERALL

    def of(self, chat_id: int) -> Limit:
        """Groups and channels have negative ids."""
        return self.group if chat_id < 0 else self.private

    def scaled(self, factor: float) -> "Limits":
        """The same numbers in compressed time, for tests."""
        return Limits(
            **{
                name: Limit(count=limit.count, seconds=limit.seconds * factor)
                for name, limit in (
                    ("private", self.private),
                    ("group", self.group),
                    ("overall", self.overall),
                )
            }
        )


#: Calls that leave the same state when made twice; all get… and set… are, too.
IDEMPOTENT = frozenset(
    {
        "editMessageText",
        "editMessageCaption",
        "editMessageReplyMarkup",
        "editMessageMedia",
        "deleteMessage",
        "answerCallbackQuery",
        "answerInlineQuery",
        "sendChatAction",
        "sendMessageDraft",
        "leaveChat",
    }
)
#: Calls that name a chat but cost it nothing.
FREE = frozenset({"getChat", "getChatMember", "getChatAdministrators", "getChatMemberCount"})
#: Calls of a chat's window that a spare one leaves to others; of all chats' it leaves half.
RESERVE = 2
#: Seconds before each repetition after a network error; then the error is raised.
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
#: Seconds added to what Telegram says, which is rounded.
MARGIN = 0.25
#: Errors that say that the request never reached Telegram.
NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Budget(BaseRateLimiter[Priority]):
    """The rate limiter of the bot's Application."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pauses: tuple[float, ...] = PAUSES,
        ledger: Ledger | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._pauses = pauses
        self._ledger = ledger
        #: when, by our clock, another process's calls to a chat were over
        self._before: defaultdict[int, list[float]] = defaultdict(list)
        for chat, age in ledger.recent if ledger else ():
            self._before[chat].append(clock() - age)
        everywhere = [when for calls in self._before.values() for when in calls]
        self._overall = Gate(self._limits.overall, clock, everywhere)
        #: least recently used first, so that the idle are found at the front
        self._chats: OrderedDict[int, Gate] = OrderedDict()

    @property
    def chats(self) -> int:
        """How many chats are remembered now."""
        return len(self._chats)

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to release."""

    def migrate(self, old: int, new: int) -> None:
        """A group became a supergroup: what it has used, it has used."""
        if old in self._chats:
            self._chats[new] = self._chats.pop(old)

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: Priority | None,
    ) -> Any:
        """Make the call when its chat has room.

        Raises:
            Dropped: a SPARE call found no room, or failed on the way.
            TelegramError: whatever the call itself raises, flood control excepted.
        """
        priority = rate_limit_args or Priority.NORMAL
        chat_id = metered(endpoint, data)
        chat = None if chat_id is None else self._gate(chat_id)
        failures = 0
        while True:
            await self._enter(chat, priority)
            slot = self._ledger.begin(chat_id) if self._ledger and chat_id else None
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as error:
                # Telegram rounds down, and a call too early begins the wait anew.
                wait = seconds(error) + MARGIN
                if chat is not None:
                    chat.close(wait)
                if priority is Priority.SPARE:
                    raise Dropped(endpoint) from error
                log.info("bot.flood_wait", endpoint=endpoint, seconds=wait)
                pause = 0.0 if chat is not None else wait
            except BadRequest:
                raise  # a NetworkError to PTB, but repeating cannot help
            except NetworkError as error:
                if priority is Priority.SPARE:
                    raise Dropped(endpoint) from error
                if failures >= len(self._pauses) or not repeatable(endpoint, error):
                    raise
                log.info("bot.call_repeated", endpoint=endpoint, error=type(error).__name__)
                pause = self._pauses[failures]
                failures += 1
            finally:
                if chat is not None:
                    chat.leave()
                    self._overall.leave()
                if self._ledger and slot is not None and chat_id:
                    self._ledger.end(slot, chat_id)
            await asyncio.sleep(pause)

    def _gate(self, chat_id: int) -> Gate:
        if chat_id in self._chats:
            self._chats.move_to_end(chat_id)
        else:
            while self._chats and (first := next(iter(self._chats.items())))[1].idle():
                del self._chats[first[0]]
            before = self._before.pop(chat_id, ())
            self._chats[chat_id] = Gate(self._limits.of(chat_id), self._clock, before)
        return self._chats[chat_id]

    async def _enter(self, chat: Gate | None, priority: Priority) -> None:
        if chat is None:
            return
        if priority is Priority.SPARE and (
            chat.room() <= RESERVE or self._overall.room() <= self._limits.overall.count // 2
        ):
            raise Dropped("no room")
        await chat.enter(priority)
        try:
            await self._overall.enter(priority)
        except asyncio.CancelledError:
            chat.leave()
            raise


def metered(endpoint: str, data: dict[str, Any]) -> int | None:
    """The chat whose budget a call costs; None: nobody's."""
    if endpoint in FREE:
        return None
    try:
        return int(data["chat_id"])
    except (KeyError, TypeError, ValueError):
        return None  # channels by @name: we never write there


def seconds(error: RetryAfter) -> float:
    """How long Telegram asks us to wait."""
    value = error.retry_after
    return float(value) if isinstance(value, int) else value.total_seconds()


def never_left(error: BaseException) -> bool:
    """Whether a failed call certainly did not reach Telegram."""
    return isinstance(error.__cause__, NEVER_LEFT)


def repeatable(endpoint: str, error: NetworkError) -> bool:
    """Whether making the call again cannot do anything twice."""
    return endpoint in IDEMPOTENT or endpoint.startswith(("get", "set")) or never_left(error)
