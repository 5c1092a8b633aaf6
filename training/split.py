"""Which examples are trained on and which are held out, by groups of photos that look alike.

Every photo tosses a coin of its own, made of its id. A group is held out only when all its photos
say so; one that says "train" takes its whole group along. So, as data grows:

- nothing that was ever trained on is held out later: a photo's own coin never changes, and a group
  that once held a "train" photo goes on holding it;
- two held-out groups that a new photo joins stay held out or go to training together; what was
  measured on before may be trained on then, never the other way round.

Data can also shrink (a person asks to be forgotten), and with its "train" photo gone a group could
change sides: the ids that ever were on the train side are kept, and count as such for good. The
photos of the gate's frozen naming set outrank all coins: what looks like one of them is held out.

A fifth is held out, but the gate needs twenty corrected photos, and the first fifty corrections
must be enough to learn from *and* to judge by. So while corrections are few, more of them are held
out: two fifths until that is twenty, then just as many as make twenty, until a fifth does. The bar
is a coin's value, that of the twentieth group in order; it falls as groups come, so that groups go
from held out to trained on, which is the direction that leaks nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal

Side = Literal["train", "val"]

#: The share of groups of one photo that is held out: 100 corrections make a gate's 20.
VAL_SHARE: Final = 0.2
#: The most of the corrected groups, and the number of them from which on it is less.
MOST: Final = 0.4
ENOUGH: Final = 20


def toss(name: str) -> float:
    """A photo's (or a question's) own number, 0 ≤ x < 1, for ever; a low one is held out."""
    digest = hashlib.sha256(f"foodcritic split {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def coin(name: str, bar: float = VAL_SHARE) -> Side:
    """What a photo says by itself."""
    return "val" if toss(name) < bar else "train"


def side(
    group: Iterable[str],
    trained: Collection[str] = (),
    frozen: Collection[str] = (),
    bar: float = VAL_SHARE,
) -> Side:
    """The side of a whole group of ids.

    `trained` were on the train side before, `frozen` must be held out.
    """
    members = list(group)
    if any(member in frozen for member in members):
        return "val"
    if any(member in trained or coin(member, bar) == "train" for member in members):
        return "train"
    return "val"


def bar(corrected: Sequence[Collection[str]], trained: Collection[str] = ()) -> float:
    """The bar for the groups that hold a corrected photo: `VAL_SHARE`, or what holds out enough.

    Groups that were trained on cannot be held out; if too few are left, all those are.
    """
    free = sorted(
        max(toss(member) for member in group)
        for group in corrected
        if not any(member in trained for member in group)
    )
    wanted = min(ENOUGH, int(MOST * len(corrected)))
    if wanted == 0:
        return VAL_SHARE
    if wanted > len(free):
        return 1.0
    return max(VAL_SHARE, math.nextafter(free[wanted - 1], 2))
