"""The gate: whether a candidate may replace the model that serves, from what both were measured on.

| part        | asked of the candidate                                        | of                 |
|-------------|---------------------------------------------------------------|--------------------|
| corrections | better: the difference is above 0                             | 20 photos at least |
| naming      | not worse: the difference is above -0.05                      | the frozen set     |
| foodieqa    | not worse: the difference is above -0.05                      | its val split      |
| checks      | not worse: the difference is above -0.10 (there are 48)       | refusals, format   |
| latency     | first token and each token at most 1.5 times the live model's | the samples        |

"Above" means the lower end of a one-sided 95 % interval by paired bootstrap (Efron and Tibshirani,
"An Introduction to the Bootstrap", 1993): both models answered the same things, and what is drawn
again and again are those things. Scores are fractions of 1, higher is better. `judge` is a pure
function: the same measurements give the same verdict, and a candidate that does better at anything,
all else equal, is never judged worse (the draws depend on the number of things, not on scores).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Part = Literal["corrections", "naming", "foodieqa", "checks", "latency"]

#: Held-out corrected photos below which nothing can be said.
LEAST: Final = 20
#: How much worse the mean score may be, by part; the corrections must be better.
MARGINS: Final[dict[Part, float]] = {"naming": 0.05, "foodieqa": 0.05, "checks": 0.10}
#: Things below which such a part is not judged: one more or less would decide it.
FEW: Final = 12
#: How many times as long the candidate may take; what a shared machine adds by itself is less.
SLOWER: Final = 1.5
#: One-sided confidence.
SURE: Final = 0.95
DRAWS: Final = 4000
SEED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How well both did on one thing (a photo, a question), fractions of 1."""

    name: str
    live: float
    candidate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long both took, in seconds: (live, candidate)."""

    first_token: tuple[float, float]
    each_token: tuple[float, float]

    @property
    def ok(self) -> bool:
        """Whether the candidate is fast enough."""
        return all(
            candidate <= SLOWER * live for live, candidate in (self.first_token, self.each_token)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that the verdict rests on; () where there was nothing to measure on."""

    corrections: tuple[Pair, ...]
    naming: tuple[Pair, ...] = ()
    foodieqa: tuple[Pair, ...] = ()
    checks: tuple[Pair, ...] = ()
    latency: Latency | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What one part says."""

    part: Part
    ok: bool
    #: For people, in English.
    text: str
    #: Which sentence that is, to say it in another language: `gate-…` in bot/texts.
    says: str
    n: int = 0
    #: How many would do, where there were too few.
    needed: int | None = None
    #: How much worse it may be.
    margin: float | None = None
    #: Mean scores, and the lower end of the interval of their difference.
    live: float | None = None
    candidate: float | None = None
    lower: float | None = None
    #: False where there was too little to judge by, so that it decides nothing.
    judged: bool = True
    #: Seconds, live and candidate.
    first_token: tuple[float, float] | None = None
    each_token: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Promote it or not, and why."""

    passed: bool
    reasons: tuple[Reason, ...]

    @property
    def decisive(self) -> tuple[Reason, ...]:
        """The reasons that decide."""
        found = tuple(reason for reason in self.reasons if reason.ok is self.passed)
        return found[:1] if self.passed else found

    @property
    def summary(self) -> str:
        """The reasons that decide, in one line."""
        return "; ".join(reason.text for reason in self.decisive)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"passed": self.passed, "reasons": [asdict(reason) for reason in self.reasons]}


def judge(measured: Measured) -> Verdict:
    """The verdict; it passes when every part does."""
    reasons = [_better(measured.corrections)]
    named: tuple[tuple[Part, tuple[Pair, ...]], ...] = (
        ("naming", measured.naming),
        ("foodieqa", measured.foodieqa),
        ("checks", measured.checks),
    )
    reasons += [_not_worse(part, pairs) for part, pairs in named if pairs]
    if measured.latency is not None:
        reasons.append(_not_slower(measured.latency))
    return Verdict(passed=all(reason.ok for reason in reasons), reasons=tuple(reasons))


def lower(pairs: Sequence[Pair]) -> float:
    """The lower end of the interval of the mean difference, candidate minus live."""
    gained = np.array([pair.candidate - pair.live for pair in pairs])
    means = _draws(len(pairs)) @ gained / len(pairs)
    # An order statistic, not interpolated: it can only grow when a score does.
    return float(np.quantile(means, 1 - SURE, method="lower"))


def _draws(count: int) -> NDArray[np.float64]:
    """How often each thing is in each draw: (DRAWS, count)."""
    chances = np.full(count, 1 / count)
    return np.random.default_rng(SEED).multinomial(count, chances, DRAWS).astype(np.float64)


def _better(pairs: tuple[Pair, ...]) -> Reason:
    count = len(pairs)
    if count < LEAST:
        text = f"not enough evidence: {count} held-out corrected photos, at least {LEAST} needed"
        few: dict[str, Any] = {"says": "little", "needed": LEAST, "n": count}
        return Reason(part="corrections", ok=False, text=text, **few, **_means(pairs))
    bound = lower(pairs)
    said = "better" if bound > 0 else "not better for sure"
    text = f"{said} on {count} held-out corrections: {_change(pairs)}, at least {bound:+.1%}"
    says = "better" if bound > 0 else "not-better"
    found: dict[str, Any] = {"says": says, "n": count, "lower": bound}
    return Reason(part="corrections", ok=bound > 0, text=text, **found, **_means(pairs))


def _not_worse(part: Part, pairs: tuple[Pair, ...]) -> Reason:
    count, margin = len(pairs), MARGINS[part]
    if count < FEW:
        text = f"{part} not judged: {count} are too few, {FEW} would do"
        few: dict[str, Any] = {"says": "not-judged", "needed": FEW, "n": count}
        return Reason(part=part, ok=True, judged=False, text=text, **few, **_means(pairs))
    bound = lower(pairs)
    said = "not worse" if bound > -margin else f"perhaps worse by more than {margin:.0%}"
    text = f"{said} on {part} ({count}): {_change(pairs)}, at least {bound:+.1%}"
    ok = bound > -margin
    says = "not-worse" if ok else "worse"
    found: dict[str, Any] = {"says": says, "n": count, "lower": bound, "margin": margin}
    return Reason(part=part, ok=ok, text=text, **found, **_means(pairs))


def _not_slower(taken: Latency) -> Reason:
    said = ", ".join(
        f"{name} {live * 1000:.1f} → {candidate * 1000:.1f} ms"
        for name, (live, candidate) in (
            ("first token", taken.first_token),
            ("each token", taken.each_token),
        )
    )
    text = f"{'fast enough' if taken.ok else 'too slow'}: {said}"
    return Reason(
        part="latency",
        ok=taken.ok,
        text=text,
        says="fast" if taken.ok else "slow",
        first_token=taken.first_token,
        each_token=taken.each_token,
    )


def _means(pairs: Sequence[Pair]) -> dict[str, Any]:
    if not pairs:
        return {}
    live, candidate = zip(*((pair.live, pair.candidate) for pair in pairs), strict=True)
    return {"live": float(np.mean(live)), "candidate": float(np.mean(candidate))}


def _change(pairs: Sequence[Pair]) -> str:
    means = _means(pairs)
    return f"{means['live']:.1%} → {means['candidate']:.1%}"
