"""Fifty people at three tables of one group, and what each of them was told in the end.

The model answers with what it was shown and asked: the photo, and every question of the dialogue.
So whoever gets a word that belongs to another person or topic is found out.
"""

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from engine import Generation, Message
from tests.botapi.faults import Fault, Kind
from tests.botapi.script import Person
from tests.botbench import Model, picture, restaurant

PEOPLE, TOPICS = 50, (7, 9, 11)
END = "That was all."
NAME = "@foodcritic_bot"


class Witness(Model):
    """Says which photo it was shown and what it has been asked, oldest first."""

    async def stream(
        self, messages: Sequence[Message], generation: Generation
    ) -> AsyncGenerator[str, None]:
        asked = [m.text for m in messages if m.role == "user"]
        numbers = re.findall(r"number (\d+)", "\n".join(asked))
        (photo,) = messages[0].images
        assert isinstance(photo, Path)
        for piece in (f"{photo.stem[:8]}", f" heard {' '.join(numbers)}. ", END):
            await asyncio.sleep(0.01)
            yield piece


@dataclass(frozen=True, slots=True)
class Request:
    """A question and the only right answer."""

    person: Person
    message_id: int
    answer: str


@dataclass(slots=True)
class Outcome:
    """What became of the requests."""

    requests: int = 0
    answered: int = 0
    #: answers with another's photo, question or topic
    crossed: int = 0
    repeated: int = 0
    lost: int = 0
    floods: int = 0
    over_budget: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Table:
    """What one person has asked in one topic about the photo that lies there."""

    person: Person
    photo: str = ""
    numbers: list[int] = field(default_factory=list)


async def run(
    home: Path, *, requests: int, scale: float, spread: float, floods: int, patience: float
) -> Outcome:
    """Ask so many questions within `spread` seconds; `scale` compresses Telegram's minute."""
    rng = random.Random(2026)
    started = time.monotonic()
    async with restaurant(home, model=Witness(), scale=scale, waits=1.0, concurrency=4) as place:
        group = place.group(forum=True)
        for topic in TOPICS:
            group.topic(topic, f"Table {topic}")
        people = [place.person(f"P{n}") for n in range(PEOPLE)]
        tables = {
            (person.id, topic): Table(group.member(person, topic=topic))
            for person in people
            for topic in TOPICS
        }
        place.tg.world.faults.append(
            Fault(kind=Kind.FLOOD, method="sendMessage", probability=0.05, times=floods)
        )
        asked = []
        for number in range(requests):
            table = tables[rng.choice(people).id, rng.choice(TOPICS)]
            asked.append(ask(table, number, rng))
            await asyncio.sleep(rng.uniform(0, 2 * spread / requests))
        await place.settled(patience)
        world = place.tg.world
        outcome = judge(asked)
        outcome.floods = sum(call.fault == Kind.FLOOD for call in world.calls)
        outcome.over_budget = len(world.meter.over)
    outcome.seconds = round(time.monotonic() - started, 1)
    return outcome


def ask(table: Table, number: int, rng: random.Random) -> Request:
    """A new photo, or, where one lies on the table, sometimes only a question about it."""
    text = f"{NAME} number {number}."
    if table.photo and rng.random() < 0.6:
        table.numbers.append(number)
        message = table.person.says(text)
    else:
        data = picture(number)
        table.photo, table.numbers = sha256(data).hexdigest()[:8], [number]
        message = table.person.sends_photo(data, caption=text)
    heard = " ".join(map(str, table.numbers))
    return Request(table.person, int(message["message_id"]), f"{table.photo} heard {heard}. {END}")


def judge(requests: list[Request]) -> Outcome:
    """Compare what was said with what should have been."""
    outcome = Outcome(requests=len(requests))
    chat = requests[0].person.chat
    said: dict[int, list[tuple[str, int | None]]] = {}
    for message in chat.messages.values():
        if (replied := message.get("reply_to_message")) and message["from"]["is_bot"]:
            told = (message.get("text", ""), message.get("message_thread_id"))
            said.setdefault(replied["message_id"], []).append(told)
    for request in requests:
        right = (request.answer, request.person.thread_id)
        got = Counter(said.get(request.message_id, []))
        outcome.answered += got[right] > 0
        outcome.repeated += max(0, got[right] - 1)
        outcome.crossed += sum(count for told, count in got.items() if told != right)
        outcome.lost += not got
    return outcome
