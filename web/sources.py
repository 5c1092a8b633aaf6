"""Where requests come from, and how much one place may do: cookies are thrown away at no cost.

    source = of(scope)                     IPv4 address, IPv6 network of 64 bits; "": this machine
    async with door.guess(source) as may:  a few passwords at a time; other sources do not wait
    asks.admit(source, now)                raises LimitReached: as a chat of several people may ask

The address is the peer's, or what a proxy that `FOODCRITIC_WEB_PROXIES` names says of it (uvicorn
reads the header, in `web.app`). Nothing of it is stored or logged: it lives in this process alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final

from foodcritic.limits import DAY, MINUTE, LimitReached, Refusal, Scope
from foodcritic.settings import Settings

#: Passwords of one source that are compared at the same time, and that may wait for it.
GUESSES, PATIENT = 2, 8
#: Sources that are remembered; those who asked longest ago are forgotten first.
REMEMBERED: Final = 10_000


def of(scope: Mapping[str, Any]) -> str:
    """The source of a request; "" for this machine."""
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(str(client[0]) if client else "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            # Whoever has one address of such a network usually has them all.
            network = ipaddress.ip_network((address, 64), strict=False)
            return "" if address.is_loopback else str(network)
        address = address.ipv4_mapped
    return "" if address.is_loopback else str(address)


class Door:
    """Guesses at the password: whoever guesses wrong keeps only their own source waiting."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()
        self._gates: dict[str, asyncio.Semaphore] = {}

    @contextlib.asynccontextmanager
    async def guess(self, source: str) -> AsyncIterator[bool]:
        """Wait for this source's turn; False: too many of it wait already."""
        if self._waiting[source] >= GUESSES + PATIENT:
            yield False
            return
        self._waiting[source] += 1
        try:
            async with self._gates.setdefault(source, asyncio.Semaphore(GUESSES)):
                yield True
        finally:
            self._waiting[source] -= 1
            if not self._waiting[source]:
                del self._waiting[source], self._gates[source]


class Asks:
    """What was asked from where, whichever visitor it was."""

    def __init__(self, settings: Settings) -> None:
        self._rules: tuple[tuple[Scope, int, Any], ...] = (
            ("chat_minute", settings.chat_jobs_per_minute, MINUTE),
            ("chat_day", settings.chat_jobs_per_day, DAY),
        )
        self._asked: OrderedDict[str, deque[datetime]] = OrderedDict()

    def admit(self, source: str, now: datetime) -> None:
        """Count one more.

        Raises:
            LimitReached: this source has asked as often as a chat may.
        """
        if not source:
            return
        most = max(limit for _, limit, _ in self._rules)
        asked = self._asked.setdefault(source, deque(maxlen=most))
        self._asked.move_to_end(source)
        for scope, limit, window in self._rules:
            if len(asked) >= limit and (until := asked[-limit] + window) > now:
                raise LimitReached(Refusal(scope=scope, limit=limit, until=until))
        asked.append(now)
        if len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
