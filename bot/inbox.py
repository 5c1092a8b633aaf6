"""Long polling: every update is a committed row before Telegram is told that we have it.

```
 getUpdates(offset) ──▶ foodcritic.inbox.receive: commit ──▶ next offset      (polling, here)
 webhook POST ────────▶ foodcritic.inbox.receive: commit ──▶ 200              (bot.webhook)
                              │ rings "inbox:<source>"
                              ▼
                         bot.dispatch ──▶ handlers
```

Telegram repeats what it was not told we have, and an update's number is unique, so that each is
here once. What a dead process left unhandled is handled by the next one.
"""

import asyncio
from typing import Any

import structlog
from telegram import Bot, Update
from telegram.error import Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter

from bot.budget import seconds
from foodcritic import inbox
from foodcritic.db import Database
from foodcritic.errors import SettingsError

log = structlog.get_logger(__name__)

#: What we ask Telegram for. PTB 22.8 does not know the last one yet.
ALLOWED = (
    Update.MESSAGE,
    Update.EDITED_MESSAGE,
    Update.CALLBACK_QUERY,
    Update.INLINE_QUERY,
    Update.MY_CHAT_MEMBER,
    Update.MESSAGE_REACTION,
    "guest_message",
    "stopped_message_generation",
)
#: Seconds one long poll waits on Telegram's side.
POLL = 30
#: Updates a poll fetches at most (Telegram's limit), and full polls in a row before others' turn.
PAGE, RUSH = 100, 20
#: Seconds between polls that fail: the first pause, and the longest.
PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: Seconds between polls that another bot with our token ends; without one for `QUIET`, it is gone.
TURN, QUIET = 3.0, 60.0
#: So many conflicts over so many seconds are no predecessor that is just stopping.
CONFLICTS, CONFLICT = 10, 30.0


def topic(source: str) -> str:
    """What is rung when an update came in."""
    return f"inbox:{source}"


async def poll(
    db: Database,
    bot: Bot,
    source: str,
    calm: asyncio.Event | None = None,
    *,
    scale: float = 1.0,
) -> None:
    """Fetch updates for ever: commit, then advance the offset. Cancel to stop.

    `calm` is cleared while Telegram holds more than a page for us: what is not committed yet goes
    before what is not handled yet. After `RUSH` full pages in a row, handling gets its turn.

    Raises:
        SettingsError: Telegram refuses the token, or another bot keeps polling with it.
    """
    offset, pause, rival = await inbox.offset(db, source), PAUSE, _Rival(scale)
    asked = {"limit": PAGE, "allowed_updates": ALLOWED}
    calm, full = calm or asyncio.Event(), 0
    while True:
        try:
            # As they came: made into PTB's objects and back, they would cost four times as much.
            # Behind a full page it does not wait, for nobody is handled until it is back.
            wait = 0 if full else POLL
            updates: Any = await bot._post(
                "getUpdates", {**asked, "offset": offset, "timeout": wait}
            )
        except (InvalidToken, Forbidden) as error:
            raise SettingsError(
                "Telegram refuses TELEGRAM_BOT_TOKEN: get a new one from @BotFather"
            ) from error
        except RetryAfter as error:
            await asyncio.sleep(seconds(error))
            continue
        except Conflict as error:
            calm.set()
            log.warning("bot.poll_conflict", error=error.message, remedy="stop the other program")
            if rival.insists():
                raise SettingsError(
                    "another program takes this bot's updates from Telegram: stop it, or give this "
                    "one a TELEGRAM_BOT_TOKEN of its own (from @BotFather)"
                ) from error
            await asyncio.sleep(TURN * scale)
            continue
        except NetworkError as error:
            calm.set()
            log.warning("bot.poll_failed", error=type(error).__name__, reason=error.message)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            continue
        pause = PAUSE
        full = full + 1 if len(updates) == PAGE else 0
        if full % (RUSH + 1):
            calm.clear()
        else:
            calm.set()
        if updates:
            await inbox.receive(db, source, [(update["update_id"], update) for update in updates])
            offset = updates[-1]["update_id"] + 1


class _Rival:
    """Another bot with our token: each poll of it ends one of ours, whoever gets an update has it.

    Not only conflicts in a row count: on a busy token each of the two gets updates in between.
    """

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._first = self._last = float("-inf")
        self._count = 0

    def insists(self) -> bool:
        """Note a conflict; whether it is one too many."""
        now = asyncio.get_running_loop().time()
        if now - self._last > QUIET * self._scale:
            self._first, self._count = now, 0
        self._last = now
        self._count += 1
        return self._count >= CONFLICTS and now - self._first >= CONFLICT * self._scale
