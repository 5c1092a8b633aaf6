"""The likeliest short answers from an engine that only answers greedily, but says what else it
thought of.

```
 greedy: Ramen <end>      at its first token, Pho was the next likeliest,
    └─ alternative: Pho ─ greedy from there ─▶ "Pho Bo" <end>
```

The greedy answer is one candidate. The likeliest turns not taken on its way are followed greedily,
all at once; each costs a few tokens, since the engine remembers the prompt. A beam search would
look further, and would cost as many prompts as it has beams.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from engine.runner import Scored

#: Turns not taken that are looked into.
BRANCHES: Final = 4
#: A turn less probable than this is not.
WORTH: Final = 0.02
#: Dish names are shorter than this, in tokens.
LONGEST: Final = 24


async def likeliest(
    score: Callable[[list[int], int], Awaitable[Scored]],
    ends: frozenset[int],
    *,
    temperature: float = 1.0,
) -> list[tuple[list[int], float]]:
    """Answers without their end, with the probability of the whole, likeliest first.

    `score` answers greedily after the prompt and these ids, in at most so many tokens.
    """
    first = await score([], LONGEST)
    found = [done] if (done := _whole(first, ends, [], 0.0, temperature)) else []
    turns = _turns(first, ends, temperature)
    more = await asyncio.gather(
        *(score(begun, LONGEST - len(begun)) for begun, _ in turns if begun[-1] not in ends)
    )
    answers = iter(more)
    for begun, log in turns:
        if begun[-1] in ends:
            found.append((begun[:-1], math.exp(log)))
        elif done := _whole(next(answers), ends, begun, log, temperature):
            found.append(done)
    return sorted(found, key=lambda pair: -pair[1])


def _turns(
    scored: Scored, ends: frozenset[int], temperature: float
) -> list[tuple[list[int], float]]:
    """The likeliest beginnings that leave the greedy answer, with the logarithms of their odds."""
    turns, log = list[tuple[list[int], float]](), 0.0
    for place, (token, top) in enumerate(zip(scored.ids, scored.tops, strict=False)):
        odds = _tempered(top, temperature)
        turns += [
            ([*scored.ids[:place], other], log + odd)
            for other, odd in odds.items()
            if other != token and log + odd > math.log(WORTH) and (place or other not in ends)
        ]
        log += odds.get(token, -math.inf)
    return sorted(turns, key=lambda pair: -pair[1])[:BRANCHES]


def _whole(
    scored: Scored, ends: frozenset[int], begun: Sequence[int], log: float, temperature: float
) -> tuple[list[int], float] | None:
    """The answer and its probability; None for one that did not end."""
    if not scored.ids or scored.ids[-1] not in ends or len(scored.tops) < len(scored.ids):
        return None
    for token, top in zip(scored.ids, scored.tops, strict=False):
        log += _tempered(top, temperature).get(token, -math.inf)
    return [*begun, *scored.ids[:-1]], math.exp(log)


def _tempered(top: dict[int, float], temperature: float) -> dict[int, float]:
    """The logarithms under another temperature; what is not among the top counts as it was."""
    if temperature == 1:
        return top
    scaled = {token: log / temperature for token, log in top.items()}
    rest = max(0.0, 1 - sum(math.exp(log) for log in top.values()))
    whole = math.log(sum(math.exp(log) for log in scaled.values()) + rest)
    return {token: log - whole for token, log in scaled.items()}
