"""A dataset's card: what is in it, where it comes from, under which terms, and what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from training.examples import Source
from training.merge import Merged

#: Rows of a table in the Markdown; card.json has them all.
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The facts; everything is counted after merging, unless noted."""

    #: Records by side, photos, groups of lookalike photos, preference pairs; and what merging took.
    counts: Mapping[str, int]
    #: By source: records, train, val, licence, consent, people, skipped (reason → count).
    sources: Mapping[str, Mapping[str, Any]]
    languages: Mapping[str, int]
    kinds: Mapping[str, int]
    #: Dishes by one spelling, the most frequent first.
    dishes: Mapping[str, int]
    #: Characters of a conversation's answers: median and most.
    lengths: Mapping[str, int]
    contradictions: Sequence[Mapping[str, Any]] = field(default=())

    def to_json(self) -> str:
        """card.json."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"

    def to_markdown(self) -> str:
        """card.md."""
        counts = self.counts
        rows = [
            (name, about["train"], about["val"], about["people"] or "", *_terms(about))
            for name, about in self.sources.items()
        ]
        skipped = [
            (name, reason, number)
            for name, about in self.sources.items()
            for reason, number in about["skipped"].items()
        ]
        disputed = [
            (entry["about"], "; ".join(f"{who}: {what}" for who, what in entry["said"]))
            for entry in self.contradictions
        ]
        parts = [
            "# Dataset of dish photos and conversations",
            f"{counts['records']} conversations ({counts['train']} to train on, {counts['val']} "
            f"held out) about {counts['photos']} photos; {counts['pairs']} preference pairs.",
            "The two sides share no photo and none that looks alike: the photos form "
            f"{counts['groups']} groups, each on one side. Merging took {counts['copies']} copies "
            f"of photos and {counts['repeats']} repeated conversations. Photos are JPEG without "
            "metadata. Format: LLaVA JSON; `pairs.json` is TRL's preference format, with the side "
            "in `split`.",
            _table("Sources", ("source", "train", "val", "people", "licence", "consent"), rows),
            _table("Languages", ("language", "conversations"), self.languages.items()),
            _table("Kinds", ("kind", "conversations"), self.kinds.items()),
            _table("Dishes", ("dish", "conversations"), self.dishes.items()),
            _table("Left out", ("source", "reason", "number"), skipped),
            _table("Contradictions", ("about", "said (the first was kept)"), disputed),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def describe(
    sources: Sequence[Source], merged: Merged, sides: Mapping[str, str], groups: int
) -> Card:
    """Count everything; `sides` by the examples' ids."""
    made = merged.examples
    about: dict[str, Mapping[str, Any]] = {}
    for source in sources:
        where = Counter(sides[e.id] for e in made if e.source == source.name)
        if where or source.skipped:
            about[source.name] = {
                "records": where.total(),
                "train": where["train"],
                "val": where["val"],
                "licence": source.licence,
                "consent": source.consent,
                "people": source.people,
                "skipped": dict(source.skipped),
            }
    lengths = sorted(sum(len(turn.answer) for turn in e.turns) for e in made)
    where = Counter(sides.values())
    return Card(
        counts={
            "records": len(made),
            "train": where["train"],
            "val": where["val"],
            "photos": len({e.photo for e in made if e.photo}),
            "groups": groups,
            "pairs": sum(e.rejected is not None for e in made),
            "repeats": merged.repeats,
            "copies": merged.copies,
            "contradictions": len(merged.contradictions),
        },
        sources=about,
        languages=_ranked(e.lang for e in made),
        kinds=_ranked(e.kind for e in made),
        dishes=_ranked(e.dish_key for e in made if e.dish_key),
        lengths={"median": lengths[len(lengths) // 2], "most": lengths[-1]},
        contradictions=[entry.to_json() for entry in merged.contradictions],
    )


def _terms(about: Mapping[str, Any]) -> tuple[str, str]:
    return about["licence"], about["consent"]


def _ranked(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table under its title, '' without rows."""
    lines = [
        "| " + " | ".join(" ".join(str(cell).replace("|", "\\|").split()) for cell in row) + " |"
        for row in rows
    ]
    if not lines:
        return ""
    if len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"\n… and {len(lines) - _SHOWN} more, in card.json"]
    head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
    return f"## {title}\n\n{head}\n" + "\n".join(lines)
