"""Which way text runs: the Unicode bidirectional algorithm (UAX 9), for a line of clusters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from foodcritic.drawing.fonts import Face


def levels(clusters: Sequence[str]) -> list[int]:
    """The embedding level of each cluster by the Unicode bidirectional algorithm (UAX 9), for text
    without explicit embeddings: `text.clean` has dropped those.
    """
    kinds = [unicodedata.bidirectional(cluster[0]) for cluster in clusters]
    strong = ["R" if kind in ("R", "AL") else kind for kind in kinds]
    base = next((int(kind == "R") for kind in strong if kind in ("L", "R")), 0)
    if "R" not in strong:
        return [0] * len(clusters)
    outer = "LR"[base]
    resolved: list[str] = []
    context = outer
    for kind in strong:
        if kind in ("L", "R"):
            context = kind
            resolved.append(kind)
        elif kind in ("EN", "AN"):
            resolved.append("L" if context == "L" else "N")
        else:
            resolved.append("?")
    levels = []
    for at, kind in enumerate(resolved):
        if kind == "?":  # takes the direction of its sides if they agree, else of the whole
            sides = {
                next((k for k in reversed(resolved[:at]) if k != "?"), outer),
                next((k for k in resolved[at + 1 :] if k != "?"), outer),
            }
            sides = {"R" if side == "N" else side for side in sides}
            kind = sides.pop() if len(sides) == 1 else outer
        levels.append({"L": 2 * base, "R": 1, "N": 2}[kind])
    return levels


def reordered(runs: Sequence[tuple[str, Face, int]]) -> list[tuple[str, Face, int]]:
    """Runs from left to right: rule L2 of UAX 9."""
    ordered = list(runs)
    for level in range(max(run[2] for run in runs), 0, -1):
        start = 0
        while start < len(ordered):
            end = start
            while end < len(ordered) and ordered[end][2] >= level:
                end += 1
            ordered[start:end] = reversed(ordered[start:end])
            start = max(end, start + 1)
    return ordered
