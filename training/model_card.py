"""The model card that a version is published with: what it is, from what, how it was judged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from foodcritic import registry
from foodcritic.registry import Version
from foodcritic.runs import Run

#: OWNER/NAME as both hubs allow it.
REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
#: The licence line of a README's front matter.
_LICENCE: Final = re.compile(r"^license(?:_name|_link)?: *\S.*$", re.MULTILINE)


def write(
    version: Version,
    repository: str,
    folder: Path,
    run: Run | None = None,
    dataset: dict[str, Any] | None = None,
) -> str:
    """The card's Markdown; `run` made the version, `dataset` is the card of what it learnt from."""
    base = named(version.base)
    known = [f"base_model: {base}"] if REPOSITORY.fullmatch(base) else []
    front = "\n".join(
        [
            "library_name: transformers",
            "pipeline_tag: image-text-to-text",
            *known,
            *licence(folder),
            "language: [zh, en]",
            "tags: [internvl, food, foodcritic]",
        ]
    )
    parts = [
        f"---\n{front}\n---",
        f"# {repository.partition('/')[2]}",
        "A food critic: an InternVL2 that names the dish in a photo, its cuisine, ingredients and "
        f"taste, scores it and argues its case, in Chinese and English. `{version.name}` of a "
        f"foodcritic bot, made from {_from(base)}.",
        _learnt(run, dataset),
        _judged(version.report or {}),
        _LIMITS,
        _USE.format(repository=repository),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def named(base: str | None) -> str:
    """A base as strangers may read it: of a folder here, only the name."""
    base = base or "InternVL2"
    return base if REPOSITORY.fullmatch(base) else Path(base).name


def licence(folder: Path) -> list[str]:
    """The lines of the base's own README that say its licence: it holds for what it became, too."""
    try:
        text = (folder / "README.md").read_text("utf-8", "replace")
    except OSError:
        return []
    if not text.startswith("---\n"):
        return []
    return [found[0] for found in _LICENCE.finditer(text[4:].partition("\n---")[0])]


def _from(base: str) -> str:
    if REPOSITORY.fullmatch(base):
        return f"[{base}](https://huggingface.co/{base})"
    return "foodcritic's bundled nano model" if base == registry.NANO else f"`{base}`"


def _learnt(run: Run | None, dataset: dict[str, Any] | None) -> str:
    lines = ["## Training"]
    if run is not None:
        made = run.metrics.get("training", {})
        facts = [f"Recipe `{run.recipe}` of XTuner 0.2.0"]
        if "iterations" in made:
            facts.append(f"{made['iterations']:,} iterations, last loss {made['loss']:.3f}")
        lines.append("; ".join(facts) + ".")
    if dataset is not None:
        counts = dataset["counts"]
        replayed = run.metrics.get("replayed", 0) if run is not None else 0
        lines.append(
            f"{counts['train']:,} conversations about dish photos"
            + (f", and {replayed:,} of the base's own answers against forgetting" * bool(replayed))
            + f"; {counts['val']:,} more were held out. The data is not published."
        )
        rows = "\n".join(
            f"| {name} | {about['train']} | {about.get('licence') or ''} "
            f"| {about.get('consent') or ''} |"
            for name, about in dataset["sources"].items()
            if about["train"]
        )
        lines.append(f"| source | conversations | licence | consent |\n|---|---|---|---|\n{rows}")
    return "\n\n".join(lines) if len(lines) > 1 else ""


def _judged(report: dict[str, Any]) -> str:
    rows = [
        f"| {r['part']} | {r['n'] or ''} | {_percent(r['live'])} | {_percent(r['candidate'])} "
        f"| {str(r['text']).replace('|', '/')} |"
        for r in report.get("reasons", ())
    ]
    if not rows:
        return "## Evaluation\n\nIt was not judged by foodcritic's gate."
    verdict = "passed" if report.get("passed") else "did not pass"
    back = f" It was rolled back: {report['rolled_back']}." if "rolled_back" in report else ""
    return (
        f"## Evaluation\n\nIt {verdict} foodcritic's gate, a seeded paired bootstrap against the "
        f"model that served before:{back}\n\n| part | n | before | this model | verdict |\n"
        "|---|---|---|---|---|\n" + "\n".join(rows)
    )


_LIMITS: Final = """## Limits

It learnt from one bot's users and knows their dishes best. Allergens, calories and scores are
guesses: nobody's health may depend on them. It may repeat what people taught it, mistakes
included."""

_USE: Final = """## Use

The folder is an InternVLChatModel checkpoint with its chat template:

```sh
lmdeploy serve api_server {repository} --trust-remote-code
FOODCRITIC_MODEL={repository} foodcritic ask photo.jpg
```"""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
