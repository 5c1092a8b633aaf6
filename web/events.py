"""What the page's events share: how they run, who is asking, how a refusal becomes a toast."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any, Final

import sqlalchemy as sa
import structlog

from foodcritic import outage
from foodcritic.db import Database
from foodcritic.errors import PhotoError, QueueFull
from foodcritic.limits import LimitReached
from web import sources
from web.blocks import gr
from web.talk import Refused
from web.texts import Texts
from web.transcript import Visitor

log = structlog.get_logger(__name__)

#: An event that shows no spinner, is no API, and waits for no other.
QUICK: Final[dict[str, Any]] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": None,
}


def visitor_of(request: gr.Request) -> Visitor | None:
    """Who is asking, by the session that `web.guard` has checked."""
    scope = request.request.scope if request.request is not None else {}
    number = scope.get("session", {}).get("user")
    return Visitor(number) if isinstance(number, int) else None


def job_at(seen: Any, place: Any) -> int | None:
    """The job at a place among those that a tab shows."""
    return seen[place] if isinstance(place, int) and 0 <= place < len(seen) else None


async def admitted(db: Database, asks: sources.Asks, request: gr.Request) -> None:
    """Count a question by where it comes from. Raises `LimitReached`."""
    asks.admit(sources.of(request.request.scope if request.request is not None else {}), db.now())


async def plainly(db: Database, texts: Texts, doing: Awaitable[Any]) -> Any:
    """Await it; what is refused becomes a toast in the visitor's words, and ends the event."""
    try:
        return await doing
    except PhotoError as error:
        said = texts.refusal(error.code)
    except QueueFull as error:
        said = texts.full(error)
    except LimitReached as error:
        said = texts.limited(error.refusal, db.now())
    except Refused as error:
        said = str(getattr(texts, error.code)).format(**error.values)
    except (OSError, sa.exc.DBAPIError) as error:
        if not outage.passes(error):
            raise
        log.error("web.refused", reason=outage.reason(db.settings, error))
        said = texts.no_room
    raise gr.Error(said, print_exception=False, duration=8)


class Twice:
    """Notices what a visitor sends again within a moment: Enter was pressed twice.

    The browser sends the second before the first has emptied the box.
    """

    def __init__(self, seconds: float = 2.0) -> None:
        self._seconds = seconds
        self._last: dict[Visitor | None, tuple[object, float]] = {}

    def __call__(self, visitor: Visitor | None, what: object) -> bool:
        now = time.monotonic()
        young = {who: one for who, one in self._last.items() if now - one[1] < self._seconds}
        before, _ = young.get(visitor, (None, 0.0))
        self._last = young | {visitor: (what, now)}
        return visitor is not None and before == what
