"""Time the bot under load: updates a second accepted, queued and answered.

    python benchmarks/bench_bot.py [--rate 200] [--seconds 10] [--kind text|photo] [--json FILE]
    python benchmarks/bench_bot.py --rate 1000 --seconds 5 --accept-only

Three processes share this machine's cores: the emulator with the load (this one), the bot, and a
worker with a scripted engine that answers at once. *Accepted* is when Telegram is told that we have
an update, which is after its commit; *queued* when its job is in the database; *answered* when the
complete answer stands in the chat. Telegram's flood limits are lifted on both sides: it would allow
30 messages a second, whatever the machine. To see what is accepted at most, offer more than that.
The bot's CPU time per update says more than the rates do where other programs run beside it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

sys.path.insert(0, str(Path(__file__).parents[1]))
del sys.path[1]  # this folder: nothing here may shadow the standard library

from tests.botapi.script import Person, Telegram, telegram  # noqa: E402
from tests.botbench import configured, migrated, picture  # noqa: E402
from tests.kills import cook  # noqa: E402
from tests.kitchen import END  # noqa: E402

PEOPLE = 200
#: Compresses every limit to nothing.
LIFTED = 1e-4


async def measure(
    rate: float, seconds: float, kind: str, patience: float, *, accept_only: bool = False
) -> dict[str, Any]:
    """Send `rate` updates a second for `seconds`, then wait until all are accepted, or answered."""
    with tempfile.TemporaryDirectory() as home:
        async with telegram(scale=LIFTED) as tg:
            tg.world.meter.enforce = False
            await migrated(configured(Path(home), tg))
            async with cook(Path(home), tg, lease=60, limits=LIFTED, waits=1) as kitchen:
                await tg.world.until(lambda: tg.world.is_listened_to, "the bot", 60)
                people = [tg.person(f"P{n}") for n in range(PEOPLE)]
                pictures = [picture(n) for n in range(50)]
                for number, person in enumerate(people):
                    person.sends_photo(pictures[number % 50])
                await answers(tg, people, 1, patience)
                pid = kitchen.pids["bot"]
                before, started = cpu_seconds(pid), time.perf_counter()
                found = await flood(tg, people, pictures, rate, seconds, kind, patience)
                total = found["updates"]
                if not accept_only:
                    queued = await until_queued(Path(home), PEOPLE + total, patience) - started
                    await answers(tg, people, 1 + total // PEOPLE, patience)
                    found["queued_per_second"] = round(total / queued, 1)
                    found["answered_per_second"] = round(total / (time.perf_counter() - started), 1)
                used = cpu_seconds(pid) - before
                found["bot_cpu_ms_per_update"] = round(1000 * used / total, 2)
                return found


def cpu_seconds(pid: int) -> float:
    """What a process has used of its cores so far (Linux), user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def flood(
    tg: Telegram,
    people: list[Person],
    pictures: list[bytes],
    rate: float,
    seconds: float,
    kind: str,
    patience: float,
) -> dict[str, Any]:
    """Offer updates until all are accepted."""
    total = int(rate * seconds)
    first = tg.world.next_update
    sent: dict[int, float] = {}
    accepted: dict[int, float] = {}
    watching = asyncio.create_task(watch(tg, first, first + total, accepted))
    started = time.perf_counter()
    for number in range(total):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        person = people[number % PEOPLE]
        sent[tg.world.next_update] = time.perf_counter()
        if kind == "photo":
            person.sends_photo(pictures[number % 50])
        else:
            person.says(f"Question {number}?")
    offered = time.perf_counter() - started
    await asyncio.wait_for(watching, patience)
    accepting = max(accepted.values()) - started
    delays = sorted((accepted[n] - sent[n]) * 1000 for n in sent)
    return {
        "kind": kind,
        "updates": total,
        "offered_per_second": round(total / offered, 1),
        "accepted_per_second": round(total / accepting, 1),
        "accept_ms_p50": round(statistics.median(delays), 1),
        "accept_ms_p95": round(delays[int(len(delays) * 0.95)], 1),
    }


async def watch(tg: Telegram, first: int, end: int, accepted: dict[int, float]) -> None:
    """Note when each update leaves Telegram's hands."""
    done = first
    while done < end:
        with contextlib.suppress(TimeoutError):
            await tg.world.until(lambda done=done: held(tg) > done, "accepted", 1)  # type: ignore[misc]
        now = time.perf_counter()
        for number in range(done, held(tg)):
            accepted[number] = now
        done = max(done, held(tg))


def held(tg: Telegram) -> int:
    """The oldest update that Telegram still holds."""
    return int(tg.world.updates[0]["update_id"]) if tg.world.updates else tg.world.next_update


async def until_queued(home: Path, count: int, patience: float) -> float:
    """When the database holds so many jobs."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{home / 'foodcritic.db'}")
    deadline = time.perf_counter() + patience
    try:
        while time.perf_counter() < deadline:
            async with engine.connect() as connection:
                jobs = await connection.scalar(sa.text("SELECT count(*) FROM jobs"))
                if jobs is not None and jobs >= count:
                    return time.perf_counter()
            await asyncio.sleep(0.05)
    finally:
        await engine.dispose()
    raise TimeoutError(f"not {count} jobs within {patience} s")


async def answers(tg: Telegram, people: list[Person], each: int, patience: float) -> None:
    """Wait until everybody has so many complete answers."""
    deadline = time.perf_counter() + patience
    while time.perf_counter() < deadline:
        if all(sum(t.endswith(END) for t in tg.world.texts(p.id)) >= each for p in people):
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"not everybody had {each} answers within {patience} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--kind", choices=("text", "photo"), default="text")
    parser.add_argument("--patience", type=float, default=300)
    parser.add_argument("--accept-only", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = asyncio.run(
        measure(
            options.rate,
            options.seconds,
            options.kind,
            options.patience,
            accept_only=options.accept_only,
        )
    )
    text = json.dumps(found, indent=2)
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
