"""Examples: what a model learns from, one conversation about one photo or none.

    Source ── name, licence, consent
      └── Example ── turns [(question, answer), …], photo, dish, and where it came from

An `Example` is checked when it is made: whoever made it, a file from a stranger too, its texts hold
no control token of a model and no turn is empty. `record` is its LLaVA form:

    {"id": …, "image": "images/ab….jpg", "image_wh": [w, h], "conversations":
        [{"from": "human", "value": "<image>\\nquestion"}, {"from": "gpt", "value": "answer"}],
     "source": …, "kind": …, "lang": …, "dish": …}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from engine.datasets import DatasetError
from foodcritic import dishes, prompts
from foodcritic.dialogue import Turn

Kind = Literal["naming", "critique", "question", "choice", "meme"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
#: How far a source is believed where two contradict each other.
CORRECTED, LIKED, IMPORTED = 3, 2, 1
#: Characters of one turn; the longest context we train is 8,192 tokens.
LONGEST: Final = 20_000
#: Marks the photo's place in a LLaVA record.
IMAGE: Final = "<image>"

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One conversation to learn; checked, see `example`."""

    #: Name of its source.
    source: str
    #: What it was there; unique in the source.
    origin: str
    kind: Kind
    lang: str
    #: Questions as the model is asked, without the mark of the photo; the last answer is learnt
    #: like the others.
    turns: tuple[Turn, ...]
    #: Id of its picture (`pictures.Picture`); None: about no photo.
    photo: str | None = None
    #: What the photo shows, as given; None: unknown.
    dish: str | None = None
    #: `CORRECTED`, `LIKED` or `IMPORTED`.
    rank: int = IMPORTED
    #: What our model answered instead of the last answer; None: nothing worse is known.
    rejected: str | None = None

    @property
    def id(self) -> str:
        """Of the record, in every dataset."""
        return f"{self.source}-{self.origin}"

    @property
    def asked(self) -> tuple[str, ...]:
        """Its questions, spaces aside."""
        return tuple(" ".join(turn.question.split()) for turn in self.turns)

    @property
    def dish_key(self) -> str | None:
        """The dish under one spelling: its key in our table, else the name in lower case."""
        return dish_key(self.dish) if self.dish else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where examples come from, with what its card must say."""

    name: str
    licence: str
    consent: str
    examples: tuple[Example, ...]
    #: Reason → how many could not be used.
    skipped: Mapping[str, int] = field(default_factory=dict)
    #: People behind it; 0: not known.
    people: int = 0


def example(**values: Any) -> Example:
    """An `Example` whose texts are cleaned.

    Raises:
        DatasetError: there are no turns, or one of them is empty or far too long.
    """
    made = Example(**values)
    turns = tuple(
        Turn(question=_text(made, turn.question), answer=_text(made, turn.answer))
        for turn in made.turns
    )
    if not turns:
        raise DatasetError(f"{made.id} has no turns")
    dish = " ".join(prompts.clean(made.dish or "").split()) or None
    rejected = prompts.clean(made.rejected or "") or None
    if rejected == turns[-1].answer:
        rejected = None
    return Example(**(values | {"turns": turns, "dish": dish, "rejected": rejected}))


def dish_key(name: str) -> str:
    """One spelling for all names of a dish."""
    known = dishes.find(name)
    return known.key if known else " ".join(name.casefold().split())


def language(text: str) -> str:
    """zh where there is Chinese, else en."""
    return "zh" if _CJK.search(text) else "en"


def record(made: Example, image: str | None, size: tuple[int, int] | None) -> dict[str, Any]:
    """The LLaVA record; `image` is a path relative to the dataset, `size` (width, height)."""
    turns: list[dict[str, str]] = []
    for turn in made.turns:
        # The photo stands before the first question: so InternVL2 was trained, so we ask.
        mark = f"{IMAGE}\n" if image is not None and not turns else ""
        turns.append({"from": "human", "value": mark + turn.question})
        turns.append({"from": "gpt", "value": turn.answer})
    found: dict[str, Any] = {"id": made.id}
    if image is not None and size is not None:
        found |= {"image": image, "image_wh": list(size)}
    found |= {"conversations": turns, "source": made.source, "kind": made.kind, "lang": made.lang}
    return found | ({"dish": made.dish} if made.dish else {})


def pair(made: Example, image: str | None) -> dict[str, Any] | None:
    """The preference pair in TRL's conversational form; None where nothing was rejected."""
    if made.rejected is None:
        return None
    said: list[dict[str, str]] = []
    for turn in made.turns:
        said.append({"role": "user", "content": turn.question})
        said.append({"role": "assistant", "content": turn.answer})
    return {
        "id": made.id,
        "images": [image] if image is not None else [],
        "prompt": said[:-1],
        "chosen": said[-1:],
        "rejected": [{"role": "assistant", "content": made.rejected}],
    }


def _text(made: Example, text: object) -> str:
    if not isinstance(text, str):
        raise DatasetError(f"{made.id}: a turn is {text!r}, not a text")
    if len(text) > LONGEST:
        raise DatasetError(f"{made.id}: a turn of {len(text)} characters; {LONGEST} are the most")
    cleaned = prompts.clean(text)
    if not cleaned:
        raise DatasetError(f"{made.id}: a question or an answer is empty")
    return cleaned
