"""Whether a process gets on, seen from outside: what it and those below it compute and move.

Loading a model does one or the other all the time, however long it takes, and so does fetching one;
hanging in a driver does neither.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Of one core, and bytes a second. An event loop that waits for a hanging thread needs a tenth.
LEAST_CPU, LEAST_BYTES = 0.01, 16 * 1024

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_PROC: Final = Path("/proc")
#: Of /proc/PID/io: what went through calls, and what the disk gave for mapped files.
_MOVED: Final = ("rchar", "wchar", "read_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What processes have done since they began."""

    #: seconds of one core
    cpu: float = 0.0
    moved: int = 0

    def since(self, before: Done, seconds: float) -> bool:
        """Whether it got on within these seconds; what is less, a child took along as it ended."""
        return (
            abs(self.cpu - before.cpu) >= LEAST_CPU * seconds
            or abs(self.moved - before.moved) >= LEAST_BYTES * seconds
        )


def done(pid: int) -> Done | None:
    """What a process and those below it have done; None: it has ended, or may not be looked at."""
    try:
        cpu, moved = _one(pid)
    except (OSError, ValueError):
        return None
    for child in _below(pid):
        try:
            more = _one(child)
        except (OSError, ValueError):  # it has ended
            continue
        cpu, moved = cpu + more[0], moved + more[1]
    return Done(cpu=cpu, moved=moved)


def _one(pid: int) -> tuple[float, int]:
    stat = _stat(pid)
    io = dict(line.split(": ") for line in (_PROC / str(pid) / "io").read_text().splitlines())
    # Its own seconds, and those of children that it has waited for; pages that it had to wait for.
    cpu, faults = sum(map(int, stat[11:15])) / _TICKS, int(stat[9])
    return cpu, faults * _PAGE + sum(int(io[name]) for name in _MOVED)


def _below(pid: int) -> Iterator[int]:
    parents = dict[int, list[int]]()
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            try:
                parents.setdefault(int(_stat(int(folder.name))[1]), []).append(int(folder.name))
            except OSError:  # it has ended
                continue
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    yield from found[1:]


def _stat(pid: int) -> list[str]:
    """Its state, its parent, …: what stands behind its name, which may hold anything."""
    read = (_PROC / str(pid) / "stat").read_bytes()
    return read.rpartition(b")")[2].decode("ascii").split()
