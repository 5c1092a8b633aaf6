"""Puts two models to the same exam: what the gate judges by, and what the report shows.

```
 snapshot's val side ─┬─ corrections ─▶ the dish it names; a better answer's likeness (chrF)
                      └─ foodieqa ────▶ the letter it chooses
 HOME/naming ──────────── naming ─────▶ the dish it names
 samples, drawn pictures ─ checks ────▶ format, language, length, "not a dish"
 samples ──────────────── latency ────▶ before the rest; again in turn, until it is clear
```

One engine at a time, greedily, so that the exam can be sat again; many questions at a time, but for
the latency. Scores are fractions of 1. What is said about one photo counts together, once.
"""

from __future__ import annotations

import hashlib
import json
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from engine import Engine, Generation, Message
from engine import evaluate as evaluating
from engine.datasets import Labelled
from foodcritic import dishes, prompts
from foodcritic.dishes import Lang
from training import checks, naming
from training.dataset import CORRECTIONS, Snapshot
from training.gate import Latency, Measured, Pair

SAMPLES: Final = Path(__file__).resolve().parents[1] / "samples"
#: Frozen photos asked about, evenly spread; the interval is narrow enough with these.
MOST_NAMING: Final = 400
#: Photos whose whole answers are kept for the report.
SHOWN: Final = 12
#: Times that both are timed before the candidate is called slower.
ROUNDS: Final = 5

Done = Callable[[str], object]
#: Loads an engine, and closes it.
Opened = Callable[[], AbstractAsyncContextManager[Engine]]
Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """What both are asked."""

    folder: Path
    lang: Lang
    #: Held-out LLaVA records.
    corrections: tuple[Record, ...]
    foodieqa: tuple[Record, ...]
    naming: tuple[Labelled, ...]
    #: Photos to critique for the checks.
    samples: tuple[Path, ...]
    #: Photos to critique for the report.
    shown: tuple[Path, ...]

    def sat_by(self, model: str) -> str:
        """A name for this exam sat by this model: what is kept of another counts for nothing."""
        return hashlib.sha256(f"{model} {self!r}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one model did: the name of a thing → its score."""

    model: str
    corrections: dict[str, float] = field(default_factory=dict)
    foodieqa: dict[str, float] = field(default_factory=dict)
    naming: dict[str, float] = field(default_factory=dict)
    checks: dict[str, float] = field(default_factory=dict)
    #: Photo's file name → critique.
    shown: dict[str, str] = field(default_factory=dict)
    #: Seconds, just loaded.
    first_token: float
    each_token: float
    #: Which exam by which model (`Exam.sat_by`).
    sat: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def kept(cls, file: Path) -> Result | None:
        """What `to_json` gave and a file holds; None where it holds nothing, or only a part."""
        try:
            return cls(**json.loads(file.read_bytes()))
        except (FileNotFoundError, TypeError, ValueError):
            return None


def exam(home: Path, snapshot: Snapshot, lang: Lang) -> Exam:
    """What there is to ask now.

    Raises:
        DatasetError: the frozen naming set is damaged.
    """
    held = snapshot.records("val", CORRECTIONS)
    frozen = naming.read(home)
    if len(frozen) > MOST_NAMING:
        frozen = [frozen[i * len(frozen) // MOST_NAMING] for i in range(MOST_NAMING)]
    photos = dict.fromkeys(
        snapshot.folder / record["image"] for record in held if record.get("image")
    )
    return Exam(
        folder=snapshot.folder,
        lang=lang,
        corrections=tuple(held),
        foodieqa=tuple(snapshot.records("val", "foodieqa")),
        naming=tuple(frozen),
        samples=tuple(sorted(SAMPLES.glob("*.jpg"))),
        shown=tuple(photos)[:SHOWN],
    )


async def measure(engine: Engine, asked: Exam, done: Done = lambda part: None) -> Result:
    """Sit the exam; `done` hears the name of each part.

    Raises:
        EngineError, PhotoError: at the first thing that cannot be answered.
    """
    # Before it has seen the samples, as in each later round: a prefix cache makes them faster.
    taken = await checks.time(engine, asked.samples)
    found: dict[str, Any] = {"model": engine.model, **asdict(taken)}
    found["corrections"] = await _corrections(engine, asked)
    done("corrections")
    found["foodieqa"] = await _choices(engine, asked)
    done("foodieqa")
    named = await evaluating.naming(engine, asked.naming, asked.lang, lambda _: None)
    found["naming"] = {str(i): float(one.given == one.true) for i, one in enumerate(named)}
    done("naming")
    found["checks"] = await checks.run(engine, asked.samples)
    done("checks")

    async def shown(path: Path) -> str:
        return (await checks.critique(engine, path, asked.lang)).text

    said = await evaluating.at_once(shown, asked.shown)
    found["shown"] = {path.name: text for path, text in zip(asked.shown, said, strict=True)}
    done("answers")
    return Result(**found)


async def latency(
    sat: tuple[Result, Result], live: Opened, candidate: Opened, samples: Sequence[Path]
) -> Latency:
    """The times of both: as they sat the exam, and in turn again, `ROUNDS` times in all at most.

    One round is enough where it clears the candidate: loading a large model takes longer than
    timing it. The lowest of the rounds counts, since what else the machine does can only add to it:
    a busy minute does not reject a candidate, and one that is slower stays so however often it is
    timed. Raises what loading and asking raise.
    """
    first, each = ([[getattr(one, name)] for one in sat] for name in ("first_token", "each_token"))
    for more in range(ROUNDS):
        for number, opened in enumerate((live, candidate) if more else ()):
            async with opened() as engine:
                taken = await checks.time(engine, samples)
            first[number].append(taken.first_token)
            each[number].append(taken.each_token)
        found = Latency(
            first_token=(min(first[0]), min(first[1])), each_token=(min(each[0]), min(each[1]))
        )
        if found.ok:
            break
    return found


def compare(live: Result, candidate: Result, latency: Latency | None = None) -> Measured:
    """What both were asked, side by side."""

    def part(name: str) -> tuple[Pair, ...]:
        one: Mapping[str, float] = getattr(live, name)
        other: Mapping[str, float] = getattr(candidate, name)
        return tuple(Pair(name=key, live=one[key], candidate=other[key]) for key in one)

    return Measured(
        corrections=part("corrections"),
        naming=part("naming"),
        foodieqa=part("foodieqa"),
        checks=part("checks"),
        latency=latency,
    )


async def _corrections(engine: Engine, asked: Exam) -> dict[str, float]:
    """The score of each held-out photo (or question without one)."""
    scores: dict[str, list[float]] = defaultdict(list)
    by_lang: dict[Lang, list[Record]] = defaultdict(list)
    answers = [record for record in asked.corrections if record["kind"] != "naming"]
    for record in asked.corrections:
        if record["kind"] == "naming":
            by_lang["zh" if record["lang"] == "zh" else "en"].append(record)

    async def alike(record: Record) -> float:
        said = await _reply(engine, asked.folder, record, checks.LONGEST)
        return likeness(said, record["conversations"][-1]["value"])

    for record, score in zip(answers, await evaluating.at_once(alike, answers), strict=True):
        scores[_name(record)].append(score)
    for lang, records in by_lang.items():
        rows = [_labelled(asked.folder, record) for record in records]
        named = await evaluating.naming(engine, rows, lang, lambda _: None)
        for record, one in zip(records, named, strict=True):
            right = one.given is None if record.get("dish") is None else one.given == one.true
            scores[_name(record)].append(float(right))
    return {name: statistics.fmean(some) for name, some in sorted(scores.items())}


async def _choices(engine: Engine, asked: Exam) -> dict[str, float]:
    async def one(record: Record) -> float:
        said = await _reply(engine, asked.folder, record, evaluating.REPLY)
        letters = (
            re.search("[A-D]", text) for text in (record["conversations"][-1]["value"], said)
        )
        right, given = (letter and letter.group() for letter in letters)
        return float(right == given)

    found = await evaluating.at_once(one, asked.foodieqa)
    return {record["id"]: score for record, score in zip(asked.foodieqa, found, strict=True)}


async def _reply(engine: Engine, folder: Path, record: Record, most: int) -> str:
    """What the engine says to a record's last question, the record's own answers before it."""
    messages = [
        Message(
            role="user" if turn["from"] == "human" else "assistant",
            text=turn["value"].replace("<image>", "", 1).strip(),
            images=(folder / record["image"],) if record.get("image") and number == 0 else (),
        )
        for number, turn in enumerate(record["conversations"][:-1])
    ]
    generation = Generation(greedy=True, max_new_tokens=most)
    async with aclosing(engine.stream(messages, generation)) as pieces:
        return "".join([piece async for piece in pieces])


def likeness(said: str, wanted: str, longest: int = 6, beta: float = 2.0) -> float:
    """chrF: the F-score of character n-grams, recall counted twice (Popović, WMT 2015)."""
    one, other = ("".join(text.split()) for text in (said, wanted))
    precisions, recalls = [], []
    for n in range(1, longest + 1):
        given, right = (
            Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (one, other)
        )
        if not right:
            break
        common = (given & right).total()
        precisions.append(common / max(given.total(), 1))
        recalls.append(common / right.total())
    if not precisions or not (p := statistics.fmean(precisions)):
        return 0.0
    r = statistics.fmean(recalls)
    return (1 + beta**2) * p * r / (beta**2 * p + r)


def _labelled(folder: Path, record: Record) -> Labelled:
    known = dishes.find(record.get("dish") or "")
    dish = record.get("dish") or prompts.NO_DISH_NAME["en"]
    label = known.name_en if known else dish
    return Labelled(label_en=label, label_zh=label, path=folder / record["image"])


def _name(record: Record) -> str:
    """What stands for everything that is asked about one photo."""
    return str(record.get("image") or record["conversations"][0]["value"])
