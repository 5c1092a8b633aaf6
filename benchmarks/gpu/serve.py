"""Requests a second, first words and memory of everything that can serve the model, in cells.

    python -m benchmarks.gpu.serve run MODEL PHOTOS RESULTS --system ours [--only tile] [--users 1]
    python -m benchmarks.gpu.serve all MODEL PHOTOS RESULTS     every system, one after another
    python -m benchmarks.gpu.serve table RESULTS                the table and RESULTS/gpu.png

MODEL is written by benchmarks.gpu.shapes, PHOTOS by benchmarks.gpu.photos.

A cell is a system under a load of users; each is one JSON file, and a cell that has its file is not
run again, so that a lost machine costs one cell. Users send a photo nobody has sent before, read
128 tokens, and send the next, so caches are cold but in `chat`, whose second and third turns are
about the first turn's photo, and `album` (ten photos a question). A rate is requests over the time
from the first one sent to the last one answered, start and end included. One user alone: the median
of five rounds.
"""

import argparse
import asyncio
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu import photos, systems

#: Requests in a cell: so many per user, and at least so many; a slow system gets fewer.
ROUNDS, LEAST = 4, 24
FOLLOW_UPS = ("Is it healthy?", "What would you drink with it?")
USERS = (1, 8, 32, 128)
LOADS = ("tile", "photo", "mixed", "chat", "album")
SYSTEMS = (
    *("ours", "server", "server-pytorch", "pipeline", "pipeline-pytorch"),
    *("chat", "transformers"),
)
#: Loads that a system is measured under, where not all: (load, users).
CELLS: dict[str, Sequence[tuple[str, int]]] = {
    # What matters most comes first: a lost machine costs the rest. One user alone: `solo`.
    "ours": [
        *(("photo", 128), ("photo", 32), ("album", 32), ("tile", 128)),
        *(("chat", 32), ("mixed", 32), ("photo", 8), ("tile", 32), ("tile", 8), ("mixed", 128)),
    ],
    "server": [("photo", 32), ("tile", 32), ("tile", 128), ("photo", 8), ("tile", 8)],
    "server-pytorch": [("tile", 32), ("photo", 32)],
    "pipeline": [("tile", 128), ("photo", 128)],
    "pipeline-pytorch": [("tile", 128), ("photo", 128)],
    "chat": [("tile", 1), ("photo", 1)],
    "transformers": [("tile", 1), ("photo", 1)],
}  # fmt: skip


class Timed:
    """One request: when it was sent, when its first word came and when its last."""

    def __init__(self) -> None:
        self.sent = time.perf_counter()
        self.first: float | None = None
        self.last = self.sent
        self.text = ""
        self.error: str | None = None
        self.turn = 1

    async def read(self, answer: Any) -> None:
        try:
            async for piece in answer:
                self.first = self.first or time.perf_counter()
                self.text += piece
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"[:300]
        self.last = time.perf_counter()


async def cell(system: Any, load: str, users: int, shown: list[bytes]) -> list[Timed]:
    """Closed loop: every user sends, reads, sends again, until the photos are used up."""
    per = 10 if load == "album" else 1
    left = [shown[i : i + per] for i in range(0, len(shown) - per + 1, per)]
    done: list[Timed] = []

    async def user() -> None:
        while left:
            asked, said = left.pop(), list[tuple[str, str]]()
            for turn in range(3 if load == "chat" else 1):
                timed = Timed()
                timed.turn = turn + 1
                await timed.read(system.ask(asked, said))
                done.append(timed)
                if turn < 2:
                    said.append((timed.text, FOLLOW_UPS[turn]))

    await asyncio.gather(*(user() for _ in range(users)))
    return done


def summary(done: Sequence[Timed], written: int) -> dict[str, Any]:
    start, end = min(t.sent for t in done), max(t.last for t in done)
    lasts = sorted(t.last for t in done)
    low, high = lasts[int(len(lasts) * 0.15)], lasts[int(len(lasts) * 0.85)]
    found: dict[str, Any] = {
        "requests": len(done),
        "failed": sum(t.error is not None for t in done),
        "errors": sorted({t.error for t in done if t.error})[:3],
        "seconds": end - start,
        "requests_per_second": len(done) / (end - start),
        "in_the_middle": 0.7 * len(done) / max(high - low, 1e-9),
        "tokens_per_second": written / (end - start),
        "median_seconds": statistics.median(t.last - t.sent for t in done),
    }
    for turn in sorted({t.turn for t in done}):
        first = sorted(t.first - t.sent for t in done if t.first and t.turn == turn)
        if first:
            name = "" if turn == 1 else f"_turn{turn}"
            found[f"first_p50{name}"] = statistics.median(first)
            found[f"first_p95{name}"] = first[math.ceil(0.95 * len(first)) - 1]
    return found


def requests(system: str, load: str, users: int) -> int:
    """How many photos a cell shows."""
    if load == "album":
        return 10 * 2 * users
    if users == 1:
        return 10
    if load == "chat":
        return 2 * users
    if load == "photo" and users >= 128 and system == "ours":
        # So long that beginning and end, with fewer users than that, are a small part of it.
        return 9 * users
    slow = system != "ours" and load != "tile"
    return max((1 if slow and users >= 128 else 2 if slow else ROUNDS) * users, LEAST)


async def serving(name: str, system: Any, out: Path, given: Any) -> None:
    """Run the cells of a system that streams."""
    loaded = time.perf_counter()
    await system.open()
    loaded = time.perf_counter() - loaded
    album = photos.Album(given.photos)
    await cell(system, "photo", 8, album.take("photo", 4) + album.take("tile", 4))
    for load, users in chosen(name.partition("+")[0], given):
        file = out / f"{name}-{load}-{users}.json"
        if file.exists():
            continue
        kind = load if load in photos.SIZES else "photo"
        shown = album.take(kind, requests(name.partition("+")[0], load, users))
        rounds = 5 if users == 1 else 1
        each = len(shown) // rounds
        found: list[dict[str, Any]] = []
        for i in range(rounds):
            before, system.prompts = system.written, []
            done = await cell(system, load, users, shown[i * each : (i + 1) * each])
            found.append(summary(done, system.written - before))
        found.sort(key=lambda f: f["requests_per_second"])
        result = found[len(found) // 2] | {"rounds": [f["requests_per_second"] for f in found]}
        result |= {"prompt": statistics.median(system.prompts), "memory": systems.memory()}
        write(file, name, load, users, result | {"loaded": loaded})
    await system.close()


def batches(name: str, system: Any, out: Path, given: Any) -> None:
    """Run the cells of a system that takes a list."""
    loaded = time.perf_counter()
    system.open()
    loaded = time.perf_counter() - loaded
    answer = system.batch if name.startswith("pipeline") else system.chat
    album = photos.Album(given.photos)
    answer(album.take("photo", 2))
    for load, users in chosen(name, given):
        file = out / f"{name}-{load}-{users}.json"
        if file.exists():
            continue
        many = users == 1
        shown = album.take(load, 3 if name == "transformers" else 5 if many else users)
        rates, written = [], 0
        for part in [[photo] for photo in shown] if many else [shown]:
            started = time.perf_counter()
            written = answer(part)
            rates.append(len(part) / (time.perf_counter() - started))
        rate = statistics.median(rates)
        tokens = written * rate / (1 if many else users)
        result = {"requests_per_second": rate, "tokens_per_second": tokens, "rounds": sorted(rates)}
        result |= {"requests": len(shown), "failed": 0, "memory": systems.memory()}
        write(file, name, load, users, result | {"loaded": loaded})
    system.close()


def chosen(system: str, given: Any) -> list[tuple[str, int]]:
    return [
        (load, users)
        for load, users in CELLS[system]
        if load in (given.only or LOADS) and users in (given.users or USERS)
    ]


def write(file: Path, system: str, load: str, users: int, result: dict[str, Any]) -> None:
    record = {"system": system, "load": load, "users": users} | result
    part = file.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1))
    part.rename(file)
    sys.stderr.write(f"{system:18} {load:6} {users:4} {result['requests_per_second']:8.2f}/s\n")


def run(given: Any) -> None:
    """One system's cells, in this process."""
    given.results.mkdir(parents=True, exist_ok=True)
    name, model = given.system, given.model
    plan = json.loads(given.plan)
    label = f"{name}+{given.label}" if given.label else name
    backend = "pytorch" if name.endswith("-pytorch") else "turbomind"
    if name == "ours":
        asyncio.run(serving(label, systems.Ours(model, plan), given.results, given))
    elif name.startswith("server"):
        asyncio.run(serving(label, systems.Server(model, backend), given.results, given))
    elif name == "transformers":
        batches(name, systems.Transformers(model), given.results, given)
    else:
        batches(name, systems.Pipeline(model, backend), given.results, given)


def everything(given: Any) -> None:
    """All systems, each in a process of its own; one that fails does not stop the others."""
    for name in given.systems or SYSTEMS:
        command = [sys.executable, "-m", "benchmarks.gpu.serve", "run"]
        subprocess.run(
            [*command, str(given.model), str(given.photos), str(given.results), "--system", name]
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("--system", choices=SYSTEMS, required=True)
    one.add_argument("--plan", default="{}", help="JSON of engine.plan.Plan's fields")
    one.add_argument("--label", default="", help="of such a plan, for the file names")
    one.add_argument("--only", nargs="*", choices=LOADS)
    one.add_argument("--users", nargs="*", type=int)
    one.set_defaults(run=run)
    many = commands.add_parser("all")
    many.add_argument("--systems", nargs="*", choices=SYSTEMS)
    many.set_defaults(run=everything)
    for command in (one, many):
        command.add_argument("model", type=Path)
        command.add_argument("photos", type=Path)
        command.add_argument("results", type=Path)
    shown = commands.add_parser("table")
    shown.add_argument("results", type=Path)
    shown.set_defaults(run=table)
    given = parser.parse_args()
    given.run(given)


def table(given: Any) -> None:
    from benchmarks.gpu import report

    report.write(given.results)


if __name__ == "__main__":
    main()
