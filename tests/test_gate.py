"""The gate: a pure function, seeded, and never against what is better."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import gate
from training.gate import Latency, Measured, Pair

SCORES = st.floats(0, 1, width=16)


def pairs(live: str, candidate: str) -> tuple[Pair, ...]:
    """One pair for each digit: 1 right, 0 wrong."""
    both = zip(live, candidate, strict=True)
    return tuple(Pair(name=str(n), live=int(a), candidate=int(b)) for n, (a, b) in enumerate(both))


@st.composite
def measured(draw: st.DrawFn) -> Measured:
    def part(least: int, most: int) -> tuple[Pair, ...]:
        some = draw(st.lists(st.tuples(SCORES, SCORES), min_size=least, max_size=most))
        made = [Pair(name=str(n), live=a, candidate=b) for n, (a, b) in enumerate(some)]
        return tuple(made)

    times = st.floats(0.001, 2)
    return Measured(
        corrections=part(15, 40),
        naming=part(0, 30),
        foodieqa=part(0, 14),
        checks=part(0, 14),
        latency=draw(
            st.none()
            | st.builds(
                Latency, first_token=st.tuples(times, times), each_token=st.tuples(times, times)
            )
        ),
    )


@settings(max_examples=150, deadline=None)
@given(measured(), st.data())
def test_a_candidate_that_does_better_at_anything_is_never_judged_worse(
    before: Measured, data: st.DataObject
) -> None:
    """Monotone: raise any of its scores, lower any of its times; no part turns from ok to not."""

    def raised(pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
        return tuple(replace(p, candidate=max(p.candidate, data.draw(SCORES))) for p in pairs)

    after = replace(
        before,
        corrections=raised(before.corrections),
        naming=raised(before.naming),
        foodieqa=raised(before.foodieqa),
        checks=raised(before.checks),
    )
    if before.latency is not None:
        live, candidate = before.latency.first_token
        faster = replace(before.latency, first_token=(live, candidate * data.draw(SCORES)))
        after = replace(after, latency=faster)
    first, second = gate.judge(before), gate.judge(after)
    for one, other in zip(first.reasons, second.reasons, strict=True):
        assert other.ok or not one.ok, (one, other)
    assert second.passed or not first.passed


@settings(max_examples=30, deadline=None)
@given(measured())
def test_the_same_measurements_give_the_same_verdict(found: Measured) -> None:
    assert gate.judge(found) == gate.judge(found)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(SCORES, SCORES), max_size=gate.LEAST - 1))
def test_fewer_than_twenty_corrections_prove_nothing(some: list[tuple[float, float]]) -> None:
    made = tuple(Pair(name=str(n), live=a, candidate=b) for n, (a, b) in enumerate(some))
    verdict = gate.judge(Measured(corrections=made))
    assert not verdict.passed
    assert "not enough evidence" in verdict.summary


@pytest.mark.parametrize(
    ("live", "candidate", "passed"),
    [
        ("0" * 20, "1" * 20, True),
        ("0" * 20, "1" * 4 + "0" * 16, True),  # four of twenty: the interval ends above 0
        ("0" * 20, "1" * 2 + "0" * 18, False),  # two may be luck
        ("1" * 20, "1" * 20, False),
        ("1" * 10 + "0" * 10, "0" * 10 + "1" * 10, False),
    ],
)
def test_better_means_for_sure(live: str, candidate: str, passed: bool) -> None:
    verdict = gate.judge(Measured(corrections=pairs(live, candidate)))
    assert verdict.passed is passed
    assert verdict.reasons[0].part == "corrections"


def test_what_was_known_may_not_be_lost() -> None:
    """Better at the corrections does not pay for worse at naming."""
    better = pairs("0" * 20, "1" * 20)
    lost = pairs("1" * 60 + "0" * 40, "1" * 50 + "0" * 50)
    kept = pairs("1" * 60 + "0" * 40, "1" * 59 + "0" * 40 + "1")
    verdict = gate.judge(Measured(corrections=better, naming=lost))
    assert not verdict.passed
    assert "worse by more than 5%" in verdict.summary
    assert gate.judge(Measured(corrections=better, naming=kept)).passed


@pytest.mark.parametrize(
    ("asked", "lost", "passed"),
    [(32, 0, True), (32, 1, True), (32, 2, False), (48, 1, True), (48, 3, False)],
)
def test_one_check_of_all_may_fail(asked: int, lost: int, passed: bool) -> None:
    """One flip is an accident, one in sixteen is a habit."""
    checks = pairs("1" * asked, "1" * (asked - lost) + "0" * lost)
    better = pairs("0" * 20, "1" * 20)
    assert gate.judge(Measured(corrections=better, checks=checks)).passed is passed


def test_too_few_photos_of_a_part_are_said_and_not_judged() -> None:
    verdict = gate.judge(
        Measured(corrections=pairs("0" * 20, "1" * 20), naming=pairs("111", "000"))
    )
    assert verdict.passed
    assert "too few" in verdict.reasons[1].text
    assert [reason.judged for reason in verdict.reasons] == [True, False]
    enough = gate.judge(
        Measured(corrections=pairs("0" * 20, "1" * 20), naming=pairs("1" * 12, "0" * 12))
    )
    assert not enough.passed


def test_a_slow_candidate_is_rejected_with_its_times() -> None:
    slow = Latency(first_token=(0.1, 0.16), each_token=(0.001, 0.001))
    verdict = gate.judge(Measured(corrections=pairs("0" * 20, "1" * 20), latency=slow))
    assert not verdict.passed
    assert "too slow: first token 100.0 → 160.0 ms" in verdict.summary


def test_a_verdict_is_plain_data() -> None:
    found = gate.judge(Measured(corrections=pairs("0" * 20, "1" * 20))).to_json()
    assert found["passed"] is True
    assert found["reasons"][0]["live"] == 0.0
    assert found["reasons"][0]["candidate"] == 1.0
