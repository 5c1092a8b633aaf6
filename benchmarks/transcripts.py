"""Hold a conversation with the real model on the emulated Telegram and write it down.

    python benchmarks/transcripts.py PHOTO [--out docs/transcript.md]

In both languages: a photo, a follow-up question, a photo with a question. Nothing is scripted but
the people: the bot, the queue, the worker and the model are the ones `foodcritic up` runs.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
del sys.path[1]  # this folder: nothing here may shadow the standard library

import engine  # noqa: E402
from bot import app  # noqa: E402
from engine import worker  # noqa: E402
from foodcritic import db as database  # noqa: E402
from tests.botapi.script import Person, telegram  # noqa: E402
from tests.botapi.transcript import transcript  # noqa: E402
from tests.botbench import configured, migrated  # noqa: E402

PATIENCE = 120
WORDS = {
    "en": ("Ann", "Try again", "Is it healthy?", "Which drink goes with it?"),
    "zh": ("李", "再试一次", "健康吗？", "配什么喝？"),
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
                for lang, words in WORDS.items():
                    person = tg.person(words[0], lang)
                    await converse(person, photo, *words[1:])
                    texts.append(transcript(tg.world, person.chat))
            finally:
                stop.set()
                await asyncio.gather(*parts)
                await model.close()
                await db.close()
    return "\n---\n\n".join(texts)


async def converse(person: Person, photo: Path, done: str, follow_up: str, question: str) -> None:
    person.says("/start")
    await person.sees("10", PATIENCE)
    for act in (
        lambda: person.sends_photo(photo),
        lambda: person.says(follow_up),
        lambda: person.sends_photo(photo, caption=question),
    ):
        act()
        await person.sees_button(done, PATIENCE)
        await asyncio.sleep(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/transcript.md"))
    options = parser.parse_args()
    body = asyncio.run(hold(options.photo))
    head = (
        "# A conversation\n\nWritten by `python benchmarks/transcripts.py PHOTO`: the bundled\n"
        "model behind the real bot, on the Bot API emulator of `tests/botapi`.\n\n"
    )
    options.out.write_text(head + body, encoding="utf-8")


if __name__ == "__main__":
    main()
