"""Pictures of a dataset for `foodcritic data stats`: one PNG, six panels."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foodcritic.drawing import labels

if TYPE_CHECKING:
    from training.dataset import Draft

#: Dishes that fit one panel.
_BARS = 20


def draw(made: Draft, path: Path) -> None:
    """Sources and sides, kinds, languages, dishes, lengths of answers, sizes of photos."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    examples = made.merged.examples
    named = "".join({*(e.source for e in examples), *(e.dish_key or "" for e in examples)})
    with (
        labels.families(named) as families,
        warnings.catch_warnings(),
        plt.rc_context({"font.family": families}),
    ):
        # A dish may be named by an emoji: matplotlib draws a box and need not say so.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure = _figure(made)
        # Without the version in it, the same dataset gives the same file.
        figure.savefig(path, dpi=100, metadata={"Software": None})
        plt.close(figure)


def _figure(made: Draft) -> Any:
    from matplotlib import pyplot as plt

    examples = made.merged.examples
    figure, axes = plt.subplots(2, 3, figsize=(15, 9), layout="constrained")
    sources = sorted({e.source for e in examples})
    left = [0] * len(sources)
    for side in ("train", "val"):
        counts = [
            sum(e.source == name and made.sides[e.id] == side for e in examples) for name in sources
        ]
        axes[0, 0].barh(sources, counts, left=left, label=side)
        left = [a + b for a, b in zip(left, counts, strict=True)]
    axes[0, 0].set_title("conversations by source")
    axes[0, 0].legend()
    _bars(axes[0, 1], "kinds", _count(e.kind for e in examples))
    _bars(axes[0, 2], "languages", _count(e.lang for e in examples))
    dishes = _count(e.dish_key for e in examples if e.dish_key)
    _bars(axes[1, 0], f"dishes ({len(dishes)})", dict(list(dishes.items())[:_BARS]))
    axes[1, 1].hist([sum(len(t.answer) for t in e.turns) for e in examples], bins=40)
    axes[1, 1].set_title("characters of the answers")
    axes[1, 1].locator_params("y", integer=True)
    axes[0, 0].locator_params("x", integer=True)
    shown = [made.pictures[name] for name in sorted({e.photo for e in examples if e.photo})]
    axes[1, 2].scatter([p.width for p in shown], [p.height for p in shown], s=6, alpha=0.5)
    axes[1, 2].set_title(f"photos ({len(shown)}), pixels")
    return figure


def _bars(axes: Any, title: str, counts: Mapping[str, int]) -> None:
    # A dollar would begin a formula.
    names = [name[:24].replace("$", r"\$") for name in counts][::-1]
    axes.barh(range(len(names)), list(counts.values())[::-1])
    axes.set_yticks(range(len(names)), names)
    axes.set_title(title)
    if counts:
        axes.locator_params("x", integer=True)
    else:  # no axis of nothing
        axes.set_axis_off()
        axes.text(0.5, 0.5, "none named", ha="center", transform=axes.transAxes)


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))
