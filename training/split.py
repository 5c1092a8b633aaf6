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
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Final, Literal

Side = Literal["train", "val"]

#: The share of groups of one photo that is held out: 100 corrections make a gate's 20.
VAL_SHARE: Final = 0.2


def coin(name: str) -> Side:
    """What a photo (or a question without one) says by itself, for ever."""
    digest = hashlib.sha256(f"foodcritic split {name}".encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") < VAL_SHARE * 2**64 else "train"


def side(group: Iterable[str], trained: Collection[str] = (), frozen: Collection[str] = ()) -> Side:
    """The side of a whole group of ids.

    `trained` were on the train side before, `frozen` must be held out.
    """
    members = list(group)
    if any(member in frozen for member in members):
        return "val"
    if any(member in trained or coin(member) == "train" for member in members):
        return "train"
    return "val"
