"""Photos that look alike are on one side, now and as data grows."""

from __future__ import annotations

import io
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.datakit import VARIANTS, kept, photo, said, source
from training import dataset, lookalikes, split

NAMES = st.text("abcdef0123456789", min_size=1, max_size=6)


@given(st.sets(NAMES, min_size=1), st.sets(NAMES))
def test_what_was_trained_on_is_never_held_out_when_groups_join(
    group: set[str], more: set[str]
) -> None:
    """A group that grows, or joins another, never goes from train to val."""
    if split.side(group) == "train":
        assert split.side(group | more) == "train"


@given(st.sets(NAMES, min_size=2))
def test_what_was_trained_on_is_not_held_out_when_a_photo_is_withdrawn(group: set[str]) -> None:
    """Without the photo that took its group to the train side, the rest stays there."""
    trained = group if split.side(group) == "train" else set[str]()
    for name in group:
        if trained:
            assert split.side(group - {name}, trained) == "train"


def test_a_frozen_photo_holds_its_group_out() -> None:
    """The gate's naming set outranks every coin, also that of photos trained on before."""
    assert split.side(["a", "b", "c"], trained={"a"}, frozen={"c"}) == "val"


def test_a_fifth_of_the_photos_is_held_out() -> None:
    """The coin is fair enough for the gate's twenty of a hundred."""
    held = sum(split.coin(f"photo {number}") == "val" for number in range(10_000))
    assert held / 10_000 == pytest.approx(split.VAL_SHARE, abs=0.015)


@settings(deadline=None)
@given(st.integers(1, 300))
def test_fifty_corrections_are_enough_to_judge_by(count: int) -> None:
    """Two fifths of few are held out, exactly twenty of more, and a fifth of many."""
    groups = [[f"photo {number}"] for number in range(count)]
    bar = split.bar(groups)
    held = sum(split.side(group, bar=bar) == "val" for group in groups)
    assert held >= min(20, int(0.4 * count))
    assert bar >= split.VAL_SHARE
    if bar > split.VAL_SHARE:
        assert held == min(20, int(0.4 * count))


def test_what_was_trained_on_does_not_count_towards_those_held_out() -> None:
    """Else a gate that wants twenty finds that many of them are not to be had."""
    groups = [[f"photo {number}"] for number in range(100)]
    low = sorted((name for (name,) in groups), key=split.toss)[:30]
    bar = split.bar(groups, low)
    assert sum(split.side(group, low, bar=bar) == "val" for group in groups) == 20


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 400), min_size=1, max_size=3), min_size=1, max_size=120),
    st.integers(1, 119),
    st.integers(1, 119),
)
def test_the_bar_of_corrections_never_holds_out_what_was_trained_on(
    photos: list[list[int]], first: int, withdrawn: int
) -> None:
    """Corrections come, groups join, people leave: from the train side nothing comes back."""
    trained: set[str] = set()
    ever: set[str] = set()
    for some in (photos[:first], photos, photos[withdrawn:]):
        groups = _joined(some)
        bar = split.bar(groups, trained)
        for group in groups:
            side = split.side(group, trained, bar=bar)
            assert side == "train" or not ever & group
            if side == "train":
                ever |= group
        trained = set(ever)


def _joined(photos: list[list[int]]) -> list[set[str]]:
    """Groups that share a photo are one."""
    found: list[set[str]] = []
    for numbers in photos:
        group = {f"photo {number}" for number in numbers}
        apart = [other for other in found if not other & group]
        for other in found:
            if other & group:
                group |= other
        found = [*apart, group]
    return found


def test_corrections_are_held_out_until_there_are_twenty_and_imports_by_a_fifth(
    tmp_path: Path,
) -> None:
    """Fifty corrections give twenty held-out photos, whatever else there is to learn from."""
    photos = [kept(tmp_path, photo(seed)) for seed in range(110)]
    corrected = source(*(said(n, photos[n]) for n in range(50)), name=dataset.CORRECTIONS)
    imported = source(*(said(f"i{n}", photos[n]) for n in range(50, 110)), name="imported")
    draft = dataset.arrange(tmp_path, [corrected, imported])
    held = {name for name in photos if name not in draft.trained}
    assert len(held & set(photos[:50])) == 20
    assert held & set(photos[50:]) == {p for p in photos[50:] if split.coin(p) == "val"}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(VARIANTS)),
        min_size=2,
        max_size=14,
        unique=True,
    ),
    st.integers(1, 13),
)
def test_no_group_crosses_the_split_also_as_data_grows(
    sent: list[tuple[int, str]], first: int
) -> None:
    """Copies and crops of a photo stay together; nothing of an earlier train side is held out."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made = [said(i, kept(home, photo(*which))) for i, which in enumerate(sent)]
        before = dataset.arrange(home, [source(*made[:first])])
        after = dataset.arrange(home, [source(*made)])
        _nothing_crosses(before)
        _nothing_crosses(after)
        assert before.trained <= after.trained
        for one, other in zip(sent, made, strict=True):
            for second, another in zip(sent, made, strict=True):
                if one[0] == second[0]:  # variants of one photo
                    assert (other.photo in after.trained) == (another.photo in after.trained)


def _nothing_crosses(made: dataset.Draft) -> None:
    looks = {name: picture.look for name, picture in made.pictures.items()}
    names = list(looks)
    near = lookalikes.pairs(list(looks.values()), lookalikes.NEAR)
    for one, other in near:
        assert (names[one] in made.trained) == (names[other] in made.trained)
    sides: dict[str | None, set[str]] = {}
    for example in made.merged.examples:
        sides.setdefault(example.photo, set()).add(made.sides[example.id])
    assert all(len(found) == 1 for found in sides.values())


def test_a_photo_that_joins_two_groups_brings_them_to_one_side(tmp_path: Path) -> None:
    """A bridge between a held-out photo and one trained on takes both to the train side."""
    looks = [lookalikes.Look(bits=bits, colours=bytes(192)) for bits in (0, 0xFF, 0xFFFF)]
    apart = lookalikes.groups([looks[0], looks[2]], (8, 1.0))
    joined = lookalikes.groups(looks, (8, 1.0))
    assert apart == [0, 1]
    assert joined == [0, 0, 0]
    held = next(n for n in map(str, range(99)) if split.coin(n) == "val")
    seen = next(n for n in map(str, range(99)) if split.coin(n) == "train")
    assert split.side([held]) == "val"
    assert split.side([held, "bridge", seen]) == "train"


def test_the_same_question_without_a_photo_stays_on_one_side(tmp_path: Path) -> None:
    """Text-only examples are split by what they ask."""
    made = [said(i, question=f"What is dish {i // 2}?", answer=f"Answer {i}") for i in range(60)]
    draft = dataset.arrange(tmp_path, [source(*made)])
    sides: dict[str, set[str]] = {}
    for example in draft.merged.examples:
        sides.setdefault(example.turns[0].question, set()).add(draft.sides[example.id])
    assert all(len(found) == 1 for found in sides.values())
    assert {"train", "val"} == set().union(*sides.values())


def test_looks_survive_what_happens_to_a_photo_on_its_way() -> None:
    """Compression, another size and brightness leave it the same; a crop leaves it near."""
    looks: dict[tuple[int, str], lookalikes.Look] = {}
    for seed in range(20):
        for variant in VARIANTS:
            looks[seed, variant] = lookalikes.look(Image.open(io.BytesIO(photo(seed, variant))))
    names = list(looks)
    same = lookalikes.groups(list(looks.values()), lookalikes.SAME)
    near = lookalikes.groups(list(looks.values()), lookalikes.NEAR)
    for (seed, variant), one, other in zip(names, same, near, strict=True):
        assert names[other][0] == seed, "strangers stay strangers"
        if variant == "cropped":
            assert names[other] == (seed, "as it was")
        else:
            assert names[one] == (seed, "as it was"), variant


def test_a_look_is_packed_and_read_back() -> None:
    """What is kept beside a photo is what was seen."""
    look = lookalikes.Look(bits=2**63 + 5, colours=bytes(range(192)))
    assert lookalikes.unpack(look.pack()) == look
    with pytest.raises(ValueError, match="200 bytes"):
        lookalikes.unpack(look.pack()[:-1])


def test_pairs_are_found_across_blocks() -> None:
    """The search compares every two of thousands, in blocks."""
    draw = random.Random(1).getrandbits
    looks = [lookalikes.Look(bits=draw(64), colours=bytes(192)) for _ in range(5000)]
    looks[4999] = looks[3]
    assert (3, 4999) in set(lookalikes.pairs(looks, (0, 1.0)))
