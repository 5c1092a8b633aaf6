"""Albums: Telegram sends each photo as an update of its own; they are one question.

```
 photo (media_group_id g) ─▶ wait QUIET seconds for the next of g ─┬─ it came: wait again
                                                                   ├─ PATIENCE since the first
                                                                   └─ PHOTOS: complete
```

The updates stay unhandled in the inbox while they are gathered, so that a restart gathers them
again; time is counted from when they came in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from telegram import Message, Update

from foodcritic.inbox import Update as Letter

#: Seconds without another photo after which an album is complete.
QUIET = 2.5
#: Seconds after which it is taken as it is.
PATIENCE = 10.0
#: Photos Telegram allows in one album.
PHOTOS = 10


@dataclass(frozen=True, slots=True)
class Album:
    """An update-like object for handlers: the messages of one album, in order."""

    updates: tuple[Update, ...]

    @property
    def messages(self) -> list[Message]:
        """The messages, oldest first."""
        found = [u.message for u in self.updates if u.message is not None]
        return sorted(found, key=lambda message: message.message_id)


def group_of(letter: Letter) -> str | None:
    """The media_group_id of a new message, if it belongs to an album."""
    message = letter.payload.get("message")
    group = message.get("media_group_id") if isinstance(message, dict) else None
    return None if group is None else str(group)


def complete_in(letters: Sequence[Letter], now: datetime, scale: float = 1.0) -> float:
    """Seconds until the album is complete as far as it came; 0: now."""
    if len(letters) >= PHOTOS:
        return 0.0
    first = min(letter.received for letter in letters)
    last = max(letter.received for letter in letters)
    quiet = QUIET * scale - (now - last).total_seconds()
    patience = PATIENCE * scale - (now - first).total_seconds()
    return max(0.0, min(quiet, patience))
