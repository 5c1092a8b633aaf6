"""The training process, from outside: started, followed by its files, ended with all its children.

work/progress.jsonl   a line for each step
    work/train.log        all that it says; its last word is a JSON object: what came out of it
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from training.environment import TrainingError

ROOT: Final = Path(__file__).parents[1]
#: seconds between two looks at the progress file
POLL: Final = 0.5
#: seconds that the child gets to end by itself before it is killed
GRACE: Final = 10.0
#: lines of the child's log that an error quotes
QUOTED: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far a run is; after a resumption iterations may come a second time."""

    #: forward passes done, and in all
    iteration: int
    iterations: int
    #: mean since the step before
    loss: float
    lr: float
    samples_per_second: float
    seconds_left: float
    #: most GPU memory allocated so far, MiB; None on a CPU
    memory_mb: int | None


async def steps(command: list[str], work: Path) -> AsyncGenerator[Step | int, None]:
    """Run the child, yield what it writes to progress.jsonl, then its exit status."""
    path = work / "progress.jsonl"
    place = path.stat().st_size if path.exists() else 0
    with (work / "train.log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,  # ends when we do, and the child with it
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while True:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(child.wait(), POLL)
                ended = child.returncode
                lines, place = _read(path, place)
                for line in lines:
                    yield Step(**json.loads(line))
                if ended is not None:
                    break
        finally:
            await _end(child)
    yield ended


async def once(command: list[str]) -> tuple[int, list[str]]:
    """Run the child to its end, which is near: its exit status, and all that it said."""
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = await child.communicate()
    finally:
        await _end(child)
    return child.returncode or 0, said.decode("utf-8", "replace").splitlines()


def _read(path: Path, place: int) -> tuple[list[bytes], int]:
    """Whole lines from a byte on, and where they end."""
    if not path.exists():
        return [], place
    with path.open("rb") as file:
        file.seek(place)
        text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    return whole.splitlines(), place + len(whole)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Stop the child's whole process group, loaders and ranks with it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, how)
        deadline = time.monotonic() + GRACE
        while child.returncode is None and time.monotonic() < deadline:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(child.wait(), GRACE)


def smaller(log: list[str]) -> int | None:
    """What the child says that would fit."""
    for line in reversed(log):
        if line.startswith('{"out_of_memory"'):
            found: int | None = json.loads(line)["split"]
            return found
    return None


def ran_out_of_memory(log: list[str]) -> bool:
    """What it said; its exit status does not tell, since torchrun ends with one of its own."""
    return any(line.startswith('{"out_of_memory"') for line in log)


def why(status: int, log: list[str], work: Path | None) -> str:
    """What ended it, with what to do; `work` holds the whole log."""
    where = "" if work is None else f", see {work / 'train.log'}"
    said = [line for line in log if line.startswith("train: ")]
    if said:
        return said[-1].removeprefix("train: ")
    if ran_out_of_memory(log):
        return (
            "out of memory with one record at a time: set model.checkpoint_activations=true or a "
            "smaller data.max_length, or train a smaller model"
        )
    if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return f"training was killed: by the kernel, for want of memory?{where}"
    tail = "\n".join([line for line in log if line.strip()][-QUOTED:])
    return f"training ended with status {status}{where}:\n{tail}"


def result(work: Path) -> dict[str, Any]:
    """The child's last word."""
    lines = (work / "train.log").read_text("utf-8", "replace").splitlines()
    for line in reversed(lines):
        if line.startswith('{"checkpoint"'):
            found: dict[str, Any] = json.loads(line)
            return found
    raise TrainingError(f"training ended without a result: see {work / 'train.log'}")
