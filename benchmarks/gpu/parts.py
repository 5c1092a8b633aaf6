"""What a machine is lent for, in parts: the most important first, each a process with a limit.

Run again, it goes on: a part whose files are there is not run again, one that was cut off keeps
what it has, one that failed twice waits until it is named, and what does not fit into the seconds
left waits for the next call. RESULTS/BOOK.json says what ran, how long it took, and how it ended.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from training import environment

#: Where models and photos are made.
SCRATCH: Final = Path("/dev/shm")
#: Seconds that a part gets to keep what it has, once its time is over.
GRACE: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process to run."""

    name: str
    #: Seconds that it takes on an H200; it is not begun with fewer left.
    seconds: int
    #: Arguments of `python -m`; {model}, {results} and what else the book knows are filled in.
    command: str
    #: What it leaves in RESULTS once it is through.
    files: Sequence[str]
    gpus: int = 1
    #: What must be made first.
    needs: str = ""
    #: The file of RESULTS that gets what it prints; "": the log does.
    printed: str = ""
    #: Whether training's own Python runs it, which FOODCRITIC_TRAIN_PYTHON names.
    trains: bool = False
    #: A file of RESULTS that makes it needless.
    unless: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """All parts of one purpose."""

    name: str
    parts: Sequence[Part]
    #: What commands may name in braces, by the arguments.
    places: Callable[[Any], dict[str, str]]
    #: Makes what a part needs, unless it is there.
    made: Callable[[Any, str], None]
    #: Tells what the results show.
    summary: Callable[[Path], None]
    #: Seconds that making things takes, once.
    making: int = 60


def words(part: Part) -> list[str]:
    """The command's words; braces of a plan's JSON are not to be filled in."""
    return [
        word.replace("{", "{{").replace("}", "}}") if word.startswith('{"') else word
        for word in part.command.split()
    ]


def command(part: Part, places: Mapping[str, str]) -> list[str]:
    """What is run."""
    python = sys.executable
    if part.trains:
        usual = environment.VENV / "bin" / "python"
        python = os.environ.get("FOODCRITIC_TRAIN_PYTHON") or str(usual)
    return [python, "-m", *(word.format(**places) for word in words(part))]


def missing(results: Path, part: Part) -> list[str]:
    """Which of its files are not there yet."""
    return [file for file in part.files if not (results / file).is_file()]


def begin(given: Any, book: Book, part: Part, limit: float) -> dict[str, Any]:
    """Run a part, no longer than the limit; how it ended."""
    started, log = time.monotonic(), given.results / f"{part.name}.log"
    try:
        if part.needs:
            book.made(given, part.needs)
        with log.open("wb") as output:
            child = subprocess.Popen(
                command(part, book.places(given)),
                stdout=subprocess.PIPE if part.printed else output,
                stderr=output,
                start_new_session=True,
            )
            try:
                said, _ = child.communicate(timeout=limit)
                ended: Any = child.returncode
            except subprocess.TimeoutExpired:
                ended = "cut off"
                child.terminate()  # it may keep what it has
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.communicate(timeout=GRACE)
            finally:  # its own children too: a server that is left holds the GPU
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if part.printed and ended == 0:
            (given.results / part.printed).write_bytes(said)
    except subprocess.CalledProcessError as error:
        ended = f"{error}"[:200]
    left = missing(given.results, part)
    return {"seconds": round(time.monotonic() - started, 1), "ended": ended, "missing": left}


def run(given: Any, book: Book) -> None:
    """Run what is not there yet and fits, or say what that would be."""
    given.results.mkdir(parents=True, exist_ok=True)
    given.results = given.results.resolve()
    file, until = given.results / f"{book.name}.json", time.monotonic() + given.seconds
    kept: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    gpus = int(os.environ.get("GPUS") or _gpus())
    for part in book.parts:
        if given.only and part.name not in given.only:
            continue
        left = until - time.monotonic()
        there = part.unless and not given.only and (given.results / part.unless).is_file()
        state = "there" if there or not missing(given.results, part) else ""
        state = state or ("needs more GPUs" if part.gpus > gpus else "")
        # What failed as a whole is not begun again and again, but when it is named.
        tries = kept.get(part.name, {}).get("tries", 0)
        state = state or ("failed twice" if tries >= 2 and not given.only else "")
        state = state or ("no time left" if part.seconds > left and not given.dry_run else "")
        if state or given.dry_run:
            _say(f"{part.name:18} {part.seconds:4} s  {state or ' '.join(words(part))}")
            continue
        found = begin(given, book, part, min(2 * part.seconds, left))
        kept[part.name] = found | {"tries": tries + 1}
        partial = file.with_suffix(".part")
        partial.write_text(json.dumps(kept, indent=1))
        partial.rename(file)
        _say(f"{part.name:18} {found['seconds']:6.1f} s  {found['ended']}  {found['missing']}")
    if given.dry_run:
        open_ = [p for p in book.parts if missing(given.results, p) and p.gpus <= gpus]
        open_ = [p for p in open_ if not p.unless]
        total = sum(part.seconds for part in open_)
        _say(f"{len(open_)} parts, {total} s and about {book.making} s to make things")
    else:
        book.summary(given.results)


def main(book: Book, about: str, **more: Any) -> None:
    """The command line of a book; `more` are further options and their defaults."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", type=float, default=560)
    parser.add_argument("--only", nargs="*", choices=[part.name for part in book.parts])
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--model", type=Path, default=SCRATCH / "2b")
    parser.add_argument("--shape", default="2b")
    for name, default in more.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    given = parser.parse_args()
    book.summary(given.results) if given.summary else run(given, book)


def _gpus() -> int:
    from engine import card

    return len(card.cards())


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
