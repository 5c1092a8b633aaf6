"""What can go wrong between a bot and Telegram: injected faults, and the flood limits."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """A way for one call to fail."""

    FLOOD = "flood"  #: 429 with retry_after
    SERVER_ERROR = "server_error"  #: 500 and nothing happened
    CUT_BEFORE = "cut_before"  #: the connection drops and nothing happened
    CUT_AFTER = "cut_after"  #: the connection drops although the call took effect
    CONFLICT = "conflict"  #: 409 to a poll: another program polls with this token
    SLOW = "slow"  #: the call takes effect, the reply takes `seconds`


@dataclass(kw_only=True, slots=True)
class Fault:
    """One rule; it applies to calls that match, until it has been used `times` times."""

    kind: Kind
    method: str | None = None  #: None: any method of a chat
    chat_id: int | None = None  #: None: any chat
    times: int | None = 1  #: None: for ever
    probability: float = 1.0
    seconds: float = 1.0  #: retry_after, or how slow
    used: int = 0

    def matches(self, method: str, chat_id: int | None, rng: random.Random) -> bool:
        """Whether this call fails so; using the rule up is the caller's business."""
        if self.times is not None and self.used >= self.times:
            return False
        if self.method is None and chat_id is None:
            return False
        if self.method is not None and self.method.lower() != method.lower():
            return False
        if self.chat_id is not None and self.chat_id != chat_id:
            return False
        return rng.random() < self.probability


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """At most `count` calls in any `seconds`."""

    count: int
    seconds: float


#: What core.telegram.org/bots/faq gives: about one message a second in a private chat with short
#: bursts, 20 a minute in a group, 30 a second over all chats.
PRIVATE = Limit(count=5, seconds=5)
GROUP = Limit(count=20, seconds=60)
OVERALL = Limit(count=30, seconds=1)


@dataclass(slots=True)
class Meter:
    """Sliding windows over every call that names a chat; `scale` compresses time for tests."""

    now: Callable[[], float]
    scale: float = 1.0
    enforce: bool = True
    windows: dict[int | None, deque[float]] = field(default_factory=dict)
    #: (time, chat) of every call that came while its chat was over the limit
    over: list[tuple[float, int | None]] = field(default_factory=list)

    def charge(self, chat_id: int) -> float:
        """Count one call; 0 when within the limits, else the seconds until there is room."""
        now = self.now()
        wait = 0.0
        checks = ((chat_id, GROUP if chat_id < 0 else PRIVATE), (None, OVERALL))
        for key, limit in checks:
            window = self.windows.setdefault(key, deque())
            length = limit.seconds * self.scale
            while window and window[0] <= now - length:
                window.popleft()
            if len(window) >= limit.count:
                self.over.append((now, key))
                wait = max(wait, window[-limit.count] + length - now)
        if wait and self.enforce:
            return wait
        for key, _ in checks:
            self.windows[key].append(now)
        return 0.0
