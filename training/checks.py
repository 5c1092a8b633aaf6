"""What any model must do, whatever it knows: keep the form, and see that something is no dish.

| check    | asked                                    | score                              |
|----------|------------------------------------------|------------------------------------|
| critique | samples, zh and en                       | the share of `_form` that it keeps |
| meme     | samples                                  | one to four lines, in the language |
| no dish  | a board, noise, a page, a sky; zh and en | 1 when it says so                  |

The same critiques tell how long a model takes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from engine import Engine, Generation, critic, evaluate
from engine.critic import Answer, Request
from foodcritic import critique as critiques
from foodcritic.dishes import Lang

#: Tokens of an answer.
LONGEST: Final = 384
#: Characters that a critique may have: the prompt asks for 150, or 120 words, and some slack.
LENGTHS: Final[dict[Lang, int]] = {"zh": 300, "en": 1100}
LANGS: Final[tuple[Lang, ...]] = ("zh", "en")


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds, the lower quartile of the critiques: others' load only adds."""

    first_token: float = 0.0
    each_token: float = 0.0


async def run(engine: Engine, samples: Sequence[Path]) -> dict[str, float]:
    """Scores by check, fractions of 1; raises what the engine raises."""

    async def sample(number: int) -> dict[str, float]:
        path, scores = samples[number], dict[str, float]()
        for lang in LANGS:
            said = await critique(engine, path, lang)
            scores[f"critique {lang} {path.stem}"] = _form(said.text, lang, said.critique.score)
        lang = LANGS[(number + 1) % 2]
        written = await _answer(engine, Request(kind="meme", lang=lang, photos=(path,)))
        lines = [line for line in written.text.splitlines() if line.strip()]
        scores[f"meme {path.stem}"] = float(1 <= len(lines) <= 4 and _in(lang, written.text))
        return scores

    async def no_dish(drawn: tuple[str, Image.Image]) -> dict[str, float]:
        title, picture = drawn
        scores = dict[str, float]()
        for lang in LANGS:
            named = await critic.look(engine, Request(lang=lang, photos=(picture,)))
            refused = named.no_dish
            if not refused and not named.candidates:  # an engine without likelihoods says it
                said = await _answer(engine, Request(lang=lang, photos=(picture,)))
                refused = critiques.parse(said.text).dish_en is None
            scores[f"no dish {lang} {title}"] = float(refused)
        return scores

    found = await evaluate.at_once(sample, range(len(samples)))
    found += await evaluate.at_once(no_dish, _not_dishes().items())
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
    return await _answer(engine, Request(lang=lang, photos=(photo,)))


async def _answer(engine: Engine, request: Request) -> Answer:
    answer = critic.answer(engine, request, Generation(greedy=True, max_new_tokens=LONGEST))
    async with aclosing(answer.write()) as pieces:
        async for _ in pieces:
            pass
    return answer


def _form(text: str, lang: Lang, score: int | None) -> float:
    """The share of what a critique must have that it has."""
    head, _, body = text.strip().partition("\n")
    read = critiques.parse(head)
    good = (
        bool(read.dish_en or read.dish_zh),
        score is not None,
        _in(lang, body),
        0 < len(body) <= LENGTHS[lang],
        text.rstrip().endswith((".", "!", "。", "！", ")", "）")),
        "<" not in text,
    )
    return sum(good) / len(good)


def _in(lang: Lang, text: str) -> bool:
    chinese = len(re.findall(r"[\u4e00-\u9fff]", text))
    return chinese > len(text) / 4 if lang == "zh" else chinese < len(text) / 8


def _not_dishes() -> dict[str, Image.Image]:
    """Pictures with nothing to eat in them."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:240, 0:320]
    page = np.full((240, 320), 245)
    page[20:220:16, 30:290] = np.where(rng.random((13, 260)) < 0.7, 30, 245)
    grey = {
        "board": ((rows // 30 + columns // 30) % 2) * 255,
        "noise": rng.integers(0, 255, (240, 320)),
        "page": np.repeat(page[::2], 2, 0),
        "sky": np.broadcast_to(np.linspace(90, 220, 240)[:, None], (240, 320)),
    }
    return {
        name: Image.fromarray(pixels.astype(np.uint8)).convert("RGB")
        for name, pixels in grey.items()
    }


def _quartile(seconds: Sequence[float]) -> float:
    return sorted(seconds)[len(seconds) // 4] if seconds else 0.0
