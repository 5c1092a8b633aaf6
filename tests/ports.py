"""Ports for servers that tests start: no two tests get the same, in whatever process they run.

A port that is found free and let go may be given to any connection before the server takes it. So
these lie below the range that the system gives away by itself, and a file lock keeps a test
process's part of them to itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

FIRST, LAST, PART = 20_000, 32_000, 200


def free_port(row: int = 1) -> int:
    """The first of `row` free ones in a row, never given before."""
    for first in _mine:
        with contextlib.suppress(OSError), contextlib.ExitStack() as bound:
            for port in range(first, first + row):
                bound.enter_context(socket.socket()).bind(("127.0.0.1", port))
            for _ in range(row - 1):
                next(_mine)
            return first
    raise OSError("every port is taken")


def _ours() -> Iterator[int]:
    """The ports of this process, part after part."""
    for start in range(FIRST, LAST, PART):
        name = f"foodcritic-{os.getuid()}-test-ports-{start}"
        # Open until the process ends.
        lock = os.open(Path(tempfile.gettempdir()) / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        yield from range(start, start + PART - 8)


_mine = _ours()
