"""Which photos show the same picture, or nearly: every pair compared, joined over any steps.

Photos that are the same (`foodcritic.looks`) are merged; those that are near stay apart, but on one
side of the split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from foodcritic.looks import NEAR, SAME, SIZE, Look, look, unpack

__all__ = ["NEAR", "SAME", "SIZE", "Look", "groups", "look", "pairs", "unpack"]

# Rows compared at a time: 2,048 x 100,000 pairs of 8 bytes are 1.6 GB, so columns go in blocks too.
_BLOCK = 2048


def pairs(looks: Sequence[Look], within: tuple[int, float]) -> Iterator[tuple[int, int]]:
    """Indices (i < j) of photos that differ by no more than `within` (`SAME` or `NEAR`).

    Every pair is compared, nothing is missed; 30,000 photos take a few seconds.
    """
    most, apart = within
    bits = np.array([entry.bits for entry in looks], dtype=np.uint64)
    colours = np.frombuffer(b"".join(entry.colours for entry in looks), dtype=np.uint8)
    colours = colours.reshape(len(looks), SIZE - 8)
    for top in range(0, len(looks), _BLOCK):
        rows = bits[top : top + _BLOCK, None]
        for left in range(top, len(looks), _BLOCK):
            close = np.bitwise_count(rows ^ bits[None, left : left + _BLOCK]) <= most
            first, second = np.nonzero(close)
            first, second = first + top, second + left
            ordered = first < second
            first, second = first[ordered], second[ordered]
            gap = colours[first].astype(np.float32) - colours[second].astype(np.float32)
            agree = np.sqrt((gap * gap).mean(axis=1)) <= apart
            yield from zip(first[agree].tolist(), second[agree].tolist(), strict=True)


def groups(looks: Sequence[Look], within: tuple[int, float]) -> list[int]:
    """For each photo the smallest index among those it is joined to, over any number of steps."""
    root = list(range(len(looks)))

    def find(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for first, second in pairs(looks, within):
        a, b = find(first), find(second)
        root[max(a, b)] = min(a, b)
    return [find(index) for index in range(len(looks))]
