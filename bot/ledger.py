"""What was sent in the last minute, where a bot finds it whose predecessor was killed.

```
 call begins ─▶ slot: chat, FLYING ─▶ call is over ─▶ slot: chat, when ─▶ a minute later: slot: free
                     └────────── killed ─┴─▶ the next bot reads them: `recent`
```

The slots are a file that is mapped into memory: noting a call stores 16 bytes there, without a
write or a wait, and the kernel keeps them when the process dies.
"""

import fcntl
import math
import mmap
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

#: A slot: the chat's id, 0 where it is free; Unix time when the call was over, in seconds.
SLOT: Final = struct.Struct("<qd")
#: Slots: more than twice what Telegram takes of one bot in `KEPT` seconds.
SLOTS: Final = 4096
#: Seconds that a call matters: a group's window, and some for clocks that are set.
KEPT: Final = 65.0
#: When a call was over that is not.
FLYING: Final = math.inf
#: Seconds after which a call of a dead process may still reach Telegram.
LATE: Final = 0.5
NAME: Final = "bot.sent"


class Ledger:
    """The calls of one bot process, and what the one before it left."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Read `folder`'s, or begin one.

        Raises:
            OSError: it cannot be written, or another process has it.
        """
        self._clock = clock
        self._file = (folder / NAME).open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = SLOT.size * SLOTS
            if self._file.seek(0, 2) != size:
                self._file.truncate(0)
                self._file.write(bytes(size))  # a hole would end us by SIGBUS on a full disk
                self._file.flush()
            self._slots = mmap.mmap(self._file.fileno(), size)
        except BaseException:
            self._file.close()
            raise
        self._free: list[int] = []
        now = clock()
        used = list[tuple[float, int]]()
        #: Chat and age in seconds, below 0 for some on their way, of a predecessor's calls.
        self.recent: list[tuple[int, float]] = []
        for slot in range(SLOTS):
            chat, ended = SLOT.unpack_from(self._slots, slot * SLOT.size)
            if ended == FLYING:
                ended = now + LATE
            if chat and -LATE <= now - ended < KEPT:
                self._write(slot, chat, ended)
                used.append((ended, slot))
                self.recent.append((chat, now - ended))
            else:
                self._write(slot, 0, 0.0)
                self._free.append(slot)
        self._used = deque(sorted(used))

    def begin(self, chat: int) -> int:
        """Note that a call to a chat begins; the slot that `end` wants."""
        over = self._clock() - KEPT
        while self._used and (self._used[0][0] < over or not self._free):
            slot = self._used.popleft()[1]
            self._write(slot, 0, 0.0)
            self._free.append(slot)
        slot = self._free.pop()
        self._write(slot, chat, FLYING)
        return slot

    def end(self, slot: int, chat: int) -> None:
        """Note that the call is over."""
        now = self._clock()
        self._write(slot, chat, now)
        self._used.append((now, slot))

    def close(self) -> None:
        """Let the next process have it."""
        self._slots.close()
        self._file.close()

    def _write(self, slot: int, chat: int, ended: float) -> None:
        SLOT.pack_into(self._slots, slot * SLOT.size, chat, ended)
