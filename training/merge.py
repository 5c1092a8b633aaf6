"""Merges what several sources say about the same picture, and shows where they contradict.

```
 examples + pictures ─▶ groups of the same picture ─▶ one picture each, the largest
                        └─▶ same question, same answer: one example
                        └─▶ same question, another answer: captions and other words for the same
                            dish all stay; otherwise the better believed stays, the other is shown
```

No question is ever lost: for each picture, every question that was asked about any copy of it is
still there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from training import lookalikes
from training.examples import Example
from training.pictures import Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Two things that cannot both be true of one picture."""

    #: Id of the picture, or None for a question without one.
    photo: str | None
    #: What is in dispute: "dish", or the question.
    about: str
    #: Id of an example → what it says; the first is what stays (of a dish, all stay).
    said: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; the picture is named by its examples."""
        return {"about": self.about, "said": [list(entry) for entry in self.said]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What is left, in the order it came."""

    examples: tuple[Example, ...]
    #: Examples that said what another says, and pictures that were copies of another.
    repeats: int
    copies: int
    contradictions: tuple[Contradiction, ...]


def merge(examples: Sequence[Example], pictures: Mapping[str, Picture]) -> Merged:
    """One example for each thing said; `pictures` holds every photo that an example names."""
    best = same(list(pictures.values()))
    moved = [replace(e, photo=best[e.photo]) if e.photo else e for e in examples]
    asked: dict[tuple[str | None, tuple[str, ...]], list[Example]] = defaultdict(list)
    for made in moved:
        asked[made.photo, made.asked].append(made)
    kept: dict[str, Example] = {}
    contradictions: list[Contradiction] = []
    repeats = 0
    for about in asked.values():
        answers = _answers(about)
        repeats += len(about) - len(answers)
        stays, against = _settle(answers, Counter(_answer(made) for made in about))
        kept |= {made.id: made for made in stays}
        if against:
            contradictions.append(_of_answers(stays[0], against))
    contradictions += _of_dishes(moved)
    return Merged(
        examples=tuple(made for made in moved if kept.get(made.id) is made),
        repeats=repeats,
        copies=sum(name != other for name, other in best.items()),
        contradictions=tuple(contradictions),
    )


def same(pictures: Sequence[Picture]) -> dict[str, str]:
    """Each picture's id → the id of the largest copy of it; ties go to the smaller id."""
    ordered = sorted(pictures, key=lambda p: (-p.width * p.height, p.id))
    roots = lookalikes.groups([p.look for p in ordered], lookalikes.SAME)
    return {p.id: ordered[root].id for p, root in zip(ordered, roots, strict=True)}


def _answers(about: Sequence[Example]) -> list[Example]:
    """One example for each answer: the best believed, then the first."""
    found: dict[str, Example] = {}
    for made in about:
        other = found.get(_answer(made))
        if other is None or made.rank > other.rank:
            found[_answer(made)] = made
    return list(found.values())


def _settle(
    answers: Sequence[Example], votes: Mapping[str, int]
) -> tuple[list[Example], list[Example]]:
    """What stays, the best believed first, and what contradicts it.

    Believed is the higher rank, then what more say, then what was said last.
    """
    order = sorted(
        range(len(answers)),
        key=lambda i: (-answers[i].rank, -votes[_answer(answers[i])], -i),
    )
    first, *others = (answers[i] for i in order)
    stays, against = [first], list[Example]()
    for other in others:
        known = first.dish_key is not None and other.kind != "choice"
        alike = other.kind == "meme" or (known and first.dish_key == other.dish_key)
        (stays if alike else against).append(other)
    return stays, against


def _of_answers(first: Example, against: Sequence[Example]) -> Contradiction:
    said = tuple((made.id, made.turns[-1].answer) for made in (first, *against))
    return Contradiction(photo=first.photo, about=first.turns[-1].question, said=said)


def _of_dishes(examples: Sequence[Example]) -> list[Contradiction]:
    """Pictures that are called two different dishes."""
    called: dict[str, dict[str, Example]] = defaultdict(dict)
    for made in examples:
        if made.photo and made.dish_key:
            called[made.photo].setdefault(made.dish_key, made)
    return [
        Contradiction(
            photo=photo,
            about="dish",
            said=tuple((made.id, made.dish or "") for made in named.values()),
        )
        for photo, named in called.items()
        if len(named) > 1
    ]


def _answer(made: Example) -> str:
    """The last answer, spaces aside, with the answers that led to it."""
    return "\n".join(" ".join(turn.answer.split()) for turn in made.turns)
