"""What a taught nano forgot: the names it knew, and its way with words.

    python -m benchmarks.forgetting INDEX [CHECKPOINT …] [--split val] [--photos 900]

A row for nano, then one for each checkpoint (a version's folder, say HOME/models/critic-1):

| column  | of                                          | what                                     |
|---------|---------------------------------------------|------------------------------------------|
| names   | labelled photos, named as the product names | the share that is right                  |
| samples | critiques of the samples, zh and en         | those whose first line names the dish    |
| strange | critiques, memes, answers about the samples | the share of 5-character pieces that     |
|         |                                             | nano never writes about its table's      |
| broken  | the same                                    | those with pieces of characters          |

What nano writes: sampled and greedy answers about the 101 dishes of the table, from their names.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from engine import Engine, Generation, Message, critic, datasets, evaluate, nano, openvino
from engine.critic import Request
from engine.datasets import Labelled
from foodcritic import critique, dishes
from foodcritic.critique import Candidate
from foodcritic.dialogue import Turn
from foodcritic.dishes import Lang
from foodcritic.prompts import Hint
from training import checks
from training.evaluate import SAMPLES

#: Characters of a piece of text.
PIECE: Final = 5
GREEDY: Final = Generation(greedy=True, max_new_tokens=checks.LONGEST)
SAMPLED: Final = Generation(max_new_tokens=checks.LONGEST, seed=1)
QUESTIONS: Final[dict[Lang, tuple[str, ...]]] = {
    "zh": ("健康吗？", "怎么做？", "配什么喝？"),
    "en": ("Is it healthy?", "How is it made?", "What should I drink with it?"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path, help="index.csv or manifest.csv")
    parser.add_argument("checkpoints", type=Path, nargs="*")
    parser.add_argument("--split", help="rows of the table to use")
    parser.add_argument("--photos", type=int, default=900)
    given = parser.parse_args()
    rows = datasets.labelled(given.table, given.split)
    rows = [rows[i * len(rows) // given.photos] for i in range(given.photos)]
    asyncio.run(_all(rows, [nano.MODEL, *given.checkpoints]))
    return 0


async def _all(rows: Sequence[Labelled], checkpoints: Sequence[Path]) -> None:
    known: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        for checkpoint in checkpoints:
            engine = openvino.load(checkpoint, Path(name))
            if not known:
                known = {piece async for text in _of_the_table(engine) for piece in _pieces(text)}
            found = {"model": str(checkpoint), **await _row(engine, rows, known)}
            await engine.close()
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()


async def _row(engine: Engine, rows: Sequence[Labelled], known: set[str]) -> dict[str, float]:
    named = await evaluate.naming(engine, rows, "en", lambda _: None)
    asked = itertools.product(sorted(SAMPLES.glob("*.jpg")), ("zh", "en"))
    said = await evaluate.at_once(lambda one: _about(engine, *one), list(asked))
    texts = [text for _, some in said for text in some]
    pieces = [piece for text in texts for piece in _pieces(text)]
    return {
        "names": round(sum(one.given == one.true for one in named) / len(named), 4),
        "samples": sum(right for right, _ in said),
        "strange": round(sum(piece not in known for piece in pieces) / len(pieces), 4),
        "broken": sum("\ufffd" in text for text in texts),
    }


async def _about(engine: Engine, photo: Path, lang: Lang) -> tuple[bool, list[str]]:
    """Whether a sample is named, and what is said of it: critique, meme, answers."""
    first = (await checks.critique(engine, photo, lang)).text
    dish = dishes.find(critique.parse(first.partition("\n")[0]).dish_en or "")
    history = (Turn(question="", answer=first),)
    others = [Request(kind="meme", lang=lang, photos=(photo,))]
    others += [
        Request(kind="question", lang=lang, question=asked, photos=(photo,), history=history)
        for asked in QUESTIONS[lang]
    ]
    said = [(await checks.answer(engine, request)).text for request in others]
    return dish is not None and dish.key == photo.stem, [first, *said]


async def _of_the_table(engine: Engine) -> AsyncIterator[str]:
    async def one(key: str) -> list[str]:
        dish = dishes.DISHES[key]
        hint = Hint(candidates=(Candidate(name_zh=dish.name_zh, name_en=dish.name_en),))
        return [await _told(engine, request, hint, how) for request, how in _ways()]

    for texts in await evaluate.at_once(one, list(dishes.DISHES)):
        for text in texts:
            yield text


def _ways() -> Iterator[tuple[Request, Generation]]:
    for lang, how in itertools.product(QUESTIONS, (GREEDY, SAMPLED)):
        yield Request(lang=lang), how
        yield Request(lang=lang, kind="meme"), how
        for asked in QUESTIONS[lang]:
            yield Request(lang=lang, kind="question", question=asked), how


async def _told(engine: Engine, request: Request, hint: Hint, how: Generation) -> str:
    begun = critic.opening(request, hint)
    messages = [Message(role="user", text=critic.prompt(request, hint))]
    messages += [Message(role="assistant", text=begun)] if begun else []
    async with aclosing(engine.stream(messages, how)) as pieces:
        return begun + "".join([piece async for piece in pieces])


def _pieces(text: str) -> Iterator[str]:
    flat = " ".join(text.split())
    return (flat[i : i + PIECE] for i in range(len(flat) - PIECE + 1))


if __name__ == "__main__":
    sys.exit(main())
