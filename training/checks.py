"""What any model must do, whatever it was taught: name the samples, keep the form, see no dish.

| check    | asked                                    | score                                      |
|----------|------------------------------------------|--------------------------------------------|
| critique | samples, zh and en                       | the share of `_form` that it keeps         |
| name     | the same critiques                       | the share whose first line names the dish  |
| question | samples, after a critique                | a whole sentence or more, in the language  |
| meme     | samples                                  | one to four whole lines, in the language   |
| no dish  | a board, noise, a page, a sky; zh and en | 1 when it says so                          |

Whole: without pieces of characters, which a model spoilt by training writes. The same critiques
tell how long a model takes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from engine import Engine, Generation, critic, evaluate
from engine.critic import Answer, Request
from foodcritic import critique as critiques
from foodcritic import dishes
from foodcritic.dialogue import Turn
from foodcritic.dishes import Lang
from training import nothings

#: Tokens of an answer.
LONGEST: Final = 384
#: Characters that a critique may have: the prompt asks for 150, or 120 words, and some slack.
LENGTHS: Final[dict[Lang, int]] = {"zh": 300, "en": 1100}
LANGS: Final[tuple[Lang, ...]] = ("zh", "en")
QUESTION: Final[dict[Lang, str]] = {"zh": "怎么做的？", "en": "How is it made?"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds, the lower quartile of the critiques: others' load only adds."""

    first_token: float = 0.0
    each_token: float = 0.0


async def run(engine: Engine, samples: Sequence[Path]) -> dict[str, float]:
    """Scores by check, fractions of 1; raises what the engine raises."""

    async def sample(number: int) -> dict[str, float]:
        path, scores = samples[number], dict[str, float]()
        said = {lang: await critique(engine, path, lang) for lang in LANGS}
        for lang, one in said.items():
            scores[f"critique {lang} {path.stem}"] = _form(one.text, lang, one.critique.score)
        named = [_names(one.text, path.stem) for one in said.values()]
        scores[f"name {path.stem}"] = sum(named) / len(named)
        lang, other = LANGS[number % 2], LANGS[(number + 1) % 2]
        history = (Turn(question="", answer=said[lang].text),)
        asked = Request(
            kind="question", lang=lang, question=QUESTION[lang], photos=(path,), history=history
        )
        told = (await answer(engine, asked)).text
        scores[f"question {path.stem}"] = float(_in(lang, told) and _ends(told) and _whole(told))
        written = (await answer(engine, Request(kind="meme", lang=other, photos=(path,)))).text
        lines = [line for line in written.splitlines() if line.strip()]
        good = 1 <= len(lines) <= 4 and _in(other, written) and _whole(written)
        scores[f"meme {path.stem}"] = float(good)
        return scores

    async def no_dish(drawn: tuple[str, Image.Image]) -> dict[str, float]:
        title, picture = drawn
        scores = dict[str, float]()
        for lang in LANGS:
            named = await critic.look(engine, Request(lang=lang, photos=(picture,)))
            refused = named.no_dish
            if not refused and not named.candidates:  # an engine without likelihoods says it
                said = await answer(engine, Request(lang=lang, photos=(picture,)))
                refused = critiques.parse(said.text).dish_en is None
            scores[f"no dish {lang} {title}"] = float(refused)
        return scores

    found = await evaluate.at_once(sample, range(len(samples)))
    found += await evaluate.at_once(no_dish, nothings.checked().items())
    return {name: score for scores in found for name, score in scores.items()}


async def time(engine: Engine, samples: Sequence[Path]) -> Times:
    """How long the critiques of the samples take now; raises what the engine raises."""
    first: list[float] = []
    each: list[float] = []
    for path in samples:
        for lang in LANGS:
            said = await critique(engine, path, lang)
            if said.seconds_to_first_token is not None:
                first.append(said.seconds_to_first_token)
            if said.tokens_per_second:
                each.append(1 / said.tokens_per_second)
    return Times(first_token=_quartile(first), each_token=_quartile(each))


async def critique(engine: Engine, photo: Path, lang: Lang) -> Answer:
    """The whole critique of a photo, greedily."""
    return await answer(engine, Request(lang=lang, photos=(photo,)))


async def answer(engine: Engine, request: Request) -> Answer:
    """What is answered, greedily; raises what the engine raises."""
    written = critic.answer(engine, request, Generation(greedy=True, max_new_tokens=LONGEST))
    async with aclosing(written.write()) as pieces:
        async for _ in pieces:
            pass
    return written


def _form(text: str, lang: Lang, score: int | None) -> float:
    """The share of what a critique must have that it has."""
    head, _, body = text.strip().partition("\n")
    read = critiques.parse(head)
    good = (
        bool(read.dish_en or read.dish_zh),
        score is not None,
        _in(lang, body),
        0 < len(body) <= LENGTHS[lang],
        _ends(text),
        "<" not in text and _whole(text),
    )
    return sum(good) / len(good)


def _names(text: str, key: str) -> bool:
    """Whether the first line names this dish of our table first."""
    read = critiques.parse(text.strip().partition("\n")[0])
    dish = dishes.find(read.dish_en or read.dish_zh or "")
    return dish is not None and dish.key == key


def _ends(text: str) -> bool:
    return text.rstrip().endswith((".", "!", "?", "。", "！", "？", ")", "）"))


def _whole(text: str) -> bool:
    return "\ufffd" not in text


def _in(lang: Lang, text: str) -> bool:
    chinese = len(re.findall(r"[\u4e00-\u9fff]", text))
    return chinese > len(text) / 4 if lang == "zh" else chinese < len(text) / 8


def _quartile(seconds: Sequence[float]) -> float:
    return sorted(seconds)[len(seconds) // 4] if seconds else 0.0
