"""Measures an engine: how well it names dishes, and how it does on FoodieQA.

Naming asks as the product asks: the naming pass, the hint, then the first line of the critique,
greedily; what counts is the dish which that line gives. On the OpenVINO engine many photos go
through together. FoodieQA is scored officially (the first of A to D in the reply), but a reply
without a letter counts as wrong instead of being guessed at random.
"""

import asyncio
import csv
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from engine import Engine, Generation, Message, critic
from engine.critic import Request
from engine.datasets import Asked, Labelled
from foodcritic import critique, dishes, prompts
from foodcritic.critique import Critique
from foodcritic.dishes import Lang

if TYPE_CHECKING:
    from engine.openvino import OpenVINO

#: Photos that go through the engine together.
BATCH = 16
#: Answers at once from an engine that batches by itself.
AT_ONCE = 32
#: The first line of a critique is shorter than this, in tokens.
HEADER = 96
#: A multiple-choice answer begins with its letter.
REPLY = 48

Done = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One photo's outcome. Names are keys of `foodcritic.dishes`, or folded text."""

    true: str
    #: What the answer says it is; None: no dish.
    given: str | None
    candidates: tuple[str, ...]
    unsure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """One question's outcome."""

    asked: Asked
    #: None: the reply held no letter.
    letter: str | None


async def naming(engine: Engine, photos: Sequence[Labelled], lang: Lang, done: Done) -> list[Named]:
    """Name every photo; `done` is told how many more are finished.

    Raises:
        DatasetError, PhotoError, EngineError: at the first photo that cannot be read or answered.
    """
    found: list[Named] = []
    if _is_openvino(engine):
        for start in range(0, len(photos), BATCH):
            some = photos[start : start + BATCH]
            judged = await asyncio.to_thread(_name_together, engine, some, lang)
            found += [_named(p, c) for p, c in zip(some, judged, strict=True)]
            done(len(some))
        return found
    generation = Generation(greedy=True, max_new_tokens=HEADER)

    async def one(photo: Labelled) -> Named:
        request = Request(lang=lang, photos=(photo.read(),))
        answer = critic.answer(engine, request, generation)
        async with aclosing(answer.write()) as pieces:
            async for _ in pieces:
                if "\n" in answer.text.strip():
                    break
        done(1)
        return _named(photo, answer.critique)

    return await at_once(one, photos)


async def foodieqa(
    engine: Engine, questions: Sequence[Asked], lang: Lang, done: Done
) -> list[Replied]:
    """Answer every question, greedily; raises as `naming` does, also where photos are too many."""
    generation = Generation(greedy=True, max_new_tokens=REPLY)

    async def one(asked: Asked) -> Replied:
        request = Request(
            kind="choice",
            lang=lang,
            question=asked.question,
            options=asked.options,
            photos=asked.photos,
        )
        answer = critic.answer(engine, request, generation)
        async with aclosing(answer.write()) as pieces:
            async for _ in pieces:
                pass
        done(1)
        letter = re.search("[A-D]", answer.text)
        return Replied(asked=asked, letter=letter.group() if letter else None)

    return await at_once(one, questions)


def naming_json(found: Sequence[Named], seconds: float) -> dict[str, float]:
    """The totals, fractions of 1."""
    return {
        "n": len(found),
        "top1": _share(n.given == n.true for n in found),
        "top3": _share(n.true in n.candidates[:3] for n in found),
        "unsure": _share(n.unsure for n in found),
        "seconds": round(seconds, 2),
    }


def foodieqa_json(replies: Sequence[Replied], seconds: float) -> dict[str, float]:
    """The totals, fractions of 1."""
    return {
        "n": len(replies),
        "accuracy": _share(r.letter == r.asked.letter for r in replies),
        "no_letter": _share(r.letter is None for r in replies),
        "seconds": round(seconds, 2),
    }


def sure_and_right(found: Sequence[Named]) -> float:
    """Of the photos it is sure about, the share it names right."""
    return _share(n.given == n.true for n in found if not n.unsure)


def by_class(found: Sequence[Named]) -> list[dict[str, Any]]:
    """One row a dish, worst first: n, top1, top3, unsure and what it is most often taken for."""
    grouped: dict[str, list[Named]] = defaultdict(list)
    for n in found:
        grouped[n.true].append(n)
    rows = []
    for true, some in grouped.items():
        wrong = Counter(n.given or "no dish" for n in some if n.given != true).most_common(1)
        totals = naming_json(some, 0)
        taken = {"taken_for": wrong[0][0] if wrong else "", "times": wrong[0][1] if wrong else 0}
        rows.append(
            {"dish": true} | {k: totals[k] for k in ("n", "top1", "top3", "unsure")} | taken
        )
    return sorted(rows, key=lambda row: (row["top1"], row["dish"]))


def write(found: Sequence[Named], folder: Path) -> None:
    """The per-class table (naming.csv) and the confusion picture (confusion.png)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = by_class(found)
    with (folder / "naming.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    _confusion(found, folder / "confusion.png")


def _name_together(engine: "OpenVINO", photos: Sequence[Labelled], lang: Lang) -> list[Critique]:
    data = [photo.read() for photo in photos]
    asked = [[Message(role="user", text=prompts.naming(lang), images=(d,))] for d in data]
    hints = [critic.judge(named, engine.unsure_below) for named in engine.name(asked)]
    # The first line of an answer is settled here: `critic.opening` is how each would begin.
    request = Request(lang=lang)
    return [critique.parse(critic.opening(request, hint), hint.candidates) for hint in hints]


async def at_once(one: Callable[[Any], Awaitable[Any]], items: Iterable[Any]) -> list[Any]:
    """What `one` makes of each, in their order, `AT_ONCE` at a time; raises the first failure."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def gated(item: Any) -> Any:
        async with gate:
            return await one(item)

    tasks = [asyncio.ensure_future(gated(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_openvino(engine: Engine) -> TypeGuard["OpenVINO"]:
    """Whether it names many together; who has not loaded OpenVINO, has no such engine."""
    module = sys.modules.get("engine.openvino")
    return module is not None and isinstance(engine, module.OpenVINO)


def _named(photo: Labelled, said: Critique) -> Named:
    return Named(
        true=_key(photo.label_en, photo.label_zh),
        given=_key(said.dish_en, said.dish_zh) or None,
        candidates=tuple(_key(c.name_en, c.name_zh) for c in said.candidates),
        unsure=said.unsure,
    )


def _key(*names: str | None) -> str:
    """The dish that one of the names is found under, else the first name, folded."""
    for name in names:
        if name and (dish := dishes.find(name)):
            return dish.key
    given = next((name for name in names if name), "")
    return given.casefold().replace("_", " ").strip()


def _share(outcomes: Iterable[bool]) -> float:
    counted = list(outcomes)
    return round(sum(counted) / len(counted), 4) if counted else 0.0


def _confusion(found: Sequence[Named], path: Path) -> None:
    """Rows are what the photo shows, columns what was said, each row in shares of its photos."""
    import matplotlib as mpl

    mpl.use("Agg")
    import numpy as np
    from matplotlib import pyplot as plt

    names = sorted({n.true for n in found})
    at = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names) + 1))  # the last column: any other answer
    for n in found:
        counts[at[n.true], at.get(n.given or "", len(names))] += 1
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(4.0, 0.14 * len(names))
    figure, axes = plt.subplots(figsize=(side + 2, side), layout="constrained")
    shown = axes.imshow(shares, cmap="magma_r", vmin=0, vmax=1, aspect="auto")
    ticks = [*names, "other"]
    axes.set_xticks(range(len(ticks)), ticks, rotation=90, fontsize=5)
    axes.set_yticks(range(len(names)), names, fontsize=5)
    axes.set_xlabel("answer")
    axes.set_ylabel("photo")
    figure.colorbar(shown, label="share of the dish's photos")
    figure.savefig(path, dpi=150)
    plt.close(figure)
