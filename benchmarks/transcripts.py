"""Hold a conversation with the real model on the emulated Telegram and write it down.

    python benchmarks/transcripts.py [PHOTO] [--out docs/transcript.md]

In both languages: a photo, a thumb, the score card, a follow-up question, a better answer to it, a
photo with a question, a meme. Nothing is scripted but the people: the bot, the queue, the worker
and the model are the ones `foodcritic up` runs.
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
del sys.path[1]  # this folder: nothing here may shadow the standard library

import engine  # noqa: E402
from bot import app  # noqa: E402
from bot import texts as words  # noqa: E402
from bot.texts import Lang  # noqa: E402
from engine import worker  # noqa: E402
from foodcritic import db as database  # noqa: E402
from tests.botapi.script import Person, Seen, telegram  # noqa: E402
from tests.botapi.transcript import transcript  # noqa: E402
from tests.botbench import configured, migrated  # noqa: E402

PATIENCE = 120
SAMPLE = Path(__file__).parents[1] / "samples" / "donuts.jpg"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """What a person says."""

    name: str
    follow_up: str
    better: str
    question: str


LINES: dict[Lang, Lines] = {
    "en": Lines(
        name="Ann",
        follow_up="Is it healthy?",
        better="Sugar and hot fat: one now and then, with coffee, and walk home.",
        question="Which drink goes with it?",
    ),
    "zh": Lines(
        name="李",
        follow_up="健康吗？",
        better="又甜又油，偶尔配咖啡来一个，吃完走路回家。",
        question="配什么喝？",
    ),
}


async def hold(photo: Path) -> str:
    """The transcripts of one conversation a language."""
    with tempfile.TemporaryDirectory() as home:
        async with telegram() as tg:
            config = configured(Path(home), tg)
            await migrated(config)
            db, model = await database.connect(config), await engine.load(config)
            stop = asyncio.Event()
            parts = [
                asyncio.create_task(app.run(config, db, stop)),
                asyncio.create_task(worker.run(db, model, config, stop)),
            ]
            try:
                texts = []
                for lang, lines in LINES.items():
                    person = tg.person(lines.name, lang)
                    await converse(person, photo, lang, lines)
                    texts.append(transcript(tg.world, person.chat))
            finally:
                stop.set()
                await asyncio.gather(*parts)
                await model.close()
                await db.close()
    return "\n---\n\n".join(texts)


async def converse(person: Person, photo: Path, lang: Lang, lines: Lines) -> None:
    def label(name: str) -> str:
        return words.text(lang, name)

    async def picture() -> Seen:
        def found() -> Seen | None:
            return next((seen for seen in person.visible() if seen.has_photo), None)

        seen: Seen = await person.world.until(found, "no picture", PATIENCE)
        return seen

    person.says("/start")
    await person.sees("/new", PATIENCE)
    person.sends_photo(photo)
    critique = await person.sees_button(label("button-again"), PATIENCE)
    await person.taps("👍", critique)
    await person.sees_button(label("button-agree-yes"), PATIENCE)
    await person.taps(label("button-agree-yes"))
    await person.taps(label("button-card"), critique)
    await picture()
    person.says(lines.follow_up)
    answer = await person.sees_button(label("button-again"), PATIENCE)
    await person.taps("✏️", answer)
    await person.sees_button(label("button-better-text"), PATIENCE)
    await person.taps(label("button-better-text"))
    asked = await person.sees(label("fix-ask-text"), PATIENCE)
    person.says(lines.better, reply_to=asked.id)
    await person.sees(label("fix-thanks"), PATIENCE)
    person.sends_photo(photo, caption=lines.question)
    await person.sees_button(label("button-again"), PATIENCE)
    person.sends_photo(photo, caption="/meme")
    await picture()
    await asyncio.sleep(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photo", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--out", type=Path, default=Path("docs/transcript.md"))
    options = parser.parse_args()
    body = asyncio.run(hold(options.photo))
    head = (
        "# A conversation\n\n"
        "Written by `.venv/bin/python benchmarks/transcripts.py`: the bundled model behind the\n"
        "real bot, on the Bot API emulator of `tests/botapi`. A chat as it stands at the end:\n"
        "buttons that were tapped have changed the message they were under.\n\n"
    )
    options.out.write_text(head + body, encoding="utf-8")


if __name__ == "__main__":
    main()
