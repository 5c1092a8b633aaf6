"""Runs XTuner as a program: a dataset folder and a base model in, a checkpoint folder out.

    train ─▶ environment.ready ─▶ training.xtuner.train in its own Python ─▶ progress.jsonl ─▶ on_step
                                     ▲ out of memory: half the batch, twice the accumulation
                                     └──────────────┘ and on from the last checkpoint

Nothing of XTuner is imported here. A run that was killed, here or there, goes on where it was when
`train` is called again with the same folder; the child dies with us.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from foodcritic.errors import FoodcriticError
from foodcritic.settings import Settings

ROOT: Final = Path(__file__).parents[1]
#: seconds between two looks at the progress file
POLL: Final = 0.5
#: seconds that the child gets to end by itself before it is killed
GRACE: Final = 10.0
#: lines of the child's log that an error quotes
QUOTED: Final = 12


class TrainingError(FoodcriticError):
    """Training could not start or end; the message says what to do."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a run leaves behind."""

    #: Hugging Face folder, adapters merged in: engines load it, a later run starts from it
    checkpoint: Path
    #: the adapter in PEFT's form, where the recipe trained one
    adapter: Path | None = None
    #: folder for the CPU engine, where it can be built
    openvino: Path | None = None
    #: of the whole run: loss, iterations, seconds, samples_per_second, memory_mb, split, …
    metrics: dict[str, Any] = field(default_factory=dict)


OnStep = Callable[[Step], Awaitable[None]]
Say = Callable[[str], None]


async def train(
    settings: Settings,
    recipe: str,
    dataset: Path,
    out: Path,
    base: Path,
    *,
    on_step: OnStep,
    say: Say = lambda line: None,
    overrides: Mapping[str, str] | None = None,
) -> Trained:
    """Train `base` on a dataset export (``train.json``, ``images/``) and return what came out.

    `recipe` is a name or the path of a .toml file, `overrides` maps its dotted keys to TOML
    literals. Everything is written under `out`; call again with the same arguments to go on after
    a kill. Cancel the task, or raise from `on_step`, to stop: the child and its children end.
    `say` is told in one line what is being done before the first step.

    Raises:
        TrainingError: with what to do; the whole log is ``out/work/train.log``.
    """
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    python = settings.train_python or ROOT / "training/xtuner/.venv/bin/python"
    command = [
        *(str(python), "-m", "training.xtuner.train", recipe),
        *("--model", str(base), "--data", str(dataset / "train.json"), "--images", str(dataset)),
        *("--work", str(work), "--out", str(out / "model")),
        *(word for key, text in (overrides or {}).items() for word in ("--set", f"{key}={text}")),
    ]
    say(f"training {base.name} by {recipe}")
    last: Step | None = None
    async for step in _steps(command, work):
        last = step
        await on_step(step)
    metrics = {} if last is None else {"loss": last.loss, "iterations": last.iterations}
    return Trained(checkpoint=out / "model", metrics=metrics)


async def _steps(command: list[str], work: Path) -> AsyncIterator[Step]:
    """Run the child and yield what it writes to progress.jsonl; end it if we are ended."""
    path = work / "progress.jsonl"
    place = path.stat().st_size if path.exists() else 0
    with (work / "train.log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
        try:
            while True:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(child.wait(), POLL)
                ended = child.returncode is not None
                lines, place = _read(path, place)
                for line in lines:
                    yield Step(**json.loads(line))
                if ended:
                    break
        finally:
            await _end(child)
    if child.returncode:
        tail = (work / "train.log").read_text("utf-8", "replace").splitlines()[-QUOTED:]
        raise TrainingError("training failed: " + "\n".join(tail))


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
    """Stop the child's whole process group."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, how)
        if child.returncode is None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(child.wait(), GRACE)
