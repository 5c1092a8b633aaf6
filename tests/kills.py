"""A load, and a bot and a worker that die at random moments: what people got in the end."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.botapi.script import Person, Telegram, telegram
from tests.botbench import configured, migrated, picture
from tests.kitchen import END

SORRY = "😔"


@dataclass(slots=True)
class Outcome:
    """What became of the messages."""

    messages: int = 0
    kills: int = 0
    answered: int = 0
    apologised: int = 0
    lost: int = 0
    #: complete answers beyond the first: in private never, in groups the one window
    repeated_private: int = 0
    repeated_group: int = 0
    #: first words of an answer that stayed behind in a private chat
    openers: int = 0
    over_budget: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return json.dumps(asdict(self))


class Cook:
    """The forking process, and its two children."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pids: dict[str, int] = {}

    async def start(self, role: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{role}\n".encode())
        self.pids[role] = int(await self._process.stdout.readline())

    async def kill(self, role: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pids[role], signal.SIGKILL)
        await self.start(role)


@contextlib.asynccontextmanager
async def cook(
    home: Path, tg: Telegram, *, lease: float, limits: float, waits: float
) -> AsyncIterator[Cook]:
    """Bot and worker in processes of their own, for as long as this lasts."""
    arguments = [str(home), tg.address, str(lease), str(limits), str(waits)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.kitchen", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        cook = Cook(process)
        for role in ("bot", "worker"):
            await cook.start(role)
        yield cook
        for pid in cook.pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


async def run(
    home: Path,
    *,
    messages: int,
    kills: int,
    lease: float,
    scale: float,
    patience: float,
    seed: int,
    pause: float = 0.25,
) -> Outcome:
    """Send `messages` photos while bot or worker is killed `kills` times, then wait.

    Up to `pause` seconds pass between two of these.
    """
    rng = random.Random(seed)
    started = time.monotonic()
    async with telegram(scale=scale, seed=seed) as tg:
        await migrated(configured(home, tg))
        async with cook(home, tg, lease=lease, limits=scale, waits=scale) as kitchen:
            asked = await load(tg, kitchen, messages, kills, rng, pause)
            with contextlib.suppress(TimeoutError):
                await tg.world.until(lambda: all(settled(p) for p in asked), "answers", patience)
            await asyncio.sleep(3)  # what would come a second time comes now
        outcome = judge(tg, asked)
    outcome.kills = kills
    outcome.seconds = round(time.monotonic() - started, 1)
    return outcome


async def load(
    tg: Telegram, kitchen: Cook, messages: int, kills: int, rng: random.Random, pause: float
) -> list[tuple[Person, int]]:
    """Messages and kills, in random order and at random moments."""
    people = [tg.person(f"P{n}") for n in range(max(5, messages // 3))]
    group = tg.group()
    asked: list[tuple[Person, int]] = []
    events = ["message"] * messages + ["kill"] * kills
    rng.shuffle(events)
    for number, event in enumerate(events):
        if event == "kill":
            await kitchen.kill(rng.choice(("bot", "worker")))
        elif rng.random() < 0.1:
            person = group.member(rng.choice(people))
            caption = f"@foodcritic_bot number {number}."
            asked.append((person, send(person, number, caption)))
        else:
            person = rng.choice(people)
            asked.append((person, send(person, number, f"number {number}.")))
        await asyncio.sleep(rng.uniform(0.02, pause))
    return asked


def send(person: Person, number: int, caption: str) -> int:
    return int(person.sends_photo(picture(number), caption=caption)["message_id"])


def marks(person: Person, message_id: int) -> str:
    """What only the answer to this message says."""
    caption = str(person.chat.messages[message_id]["caption"])
    return caption.removeprefix("@foodcritic_bot ")


def said(person: Person, message_id: int) -> list[tuple[int, str]]:
    """(message id, text) of all that was ever said in answer to a message."""
    mark = marks(person, message_id)
    replies = {
        m["message_id"]
        for m in person.chat.messages.values()
        if m.get("reply_to_message", {}).get("message_id") == message_id
    }
    return [
        (number, text)
        for number, text in person.chat.history
        if number != message_id and (mark in text or number in replies)
    ]


def settled(asked: tuple[Person, int]) -> bool:
    return any(text.endswith(END) or SORRY in text for _, text in said(*asked))


def judge(tg: Telegram, asked: list[tuple[Person, int]]) -> Outcome:
    """Count what people got."""
    outcome = Outcome(messages=len(asked), over_budget=len(tg.world.meter.over))
    for person, message_id in asked:
        texts = said(person, message_id)
        whole = Counter({number for number, text in texts if text.endswith(END)})
        sorry = {number for number, text in texts if SORRY in text}
        if whole:
            outcome.answered += 1
            if person.chat.id < 0:
                outcome.repeated_group += len(whole) - 1
            else:
                outcome.repeated_private += len(whole) - 1
        elif sorry:
            outcome.apologised += 1
        else:
            outcome.lost += 1
        left = {
            n
            for n, text in texts
            if text.endswith(" …") and str(person.chat.messages.get(n, {}).get("text")) == text
        }
        outcome.openers += len(left)
    return outcome
