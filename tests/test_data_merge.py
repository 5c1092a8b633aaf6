"""Merging: copies become one, no question is lost, contradictions are shown."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datakit import kept, photo, said, source
from training import dataset, examples
from training.examples import Example

QUESTIONS = ("What is it?", "Is it hot?", "这是什么？", "Which cuisine?  ")
ANSWERS = ("Ramen.", "Pho.", "是的")
ONE = st.tuples(
    st.sampled_from((None, 0, 1, 2)),
    st.sampled_from(("as it was", "compressed", "half the size")),
    st.sampled_from(QUESTIONS),
    st.sampled_from(ANSWERS),
    st.sampled_from(examples.KINDS),
    st.sampled_from((None, "ramen", "拉面", "pho")),
    st.sampled_from((examples.CORRECTED, examples.LIKED, examples.IMPORTED)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ONE, min_size=1, max_size=14))
def test_merging_loses_no_question(
    sent: list[tuple[int | None, str, str, str, examples.Kind, str | None, int]],
) -> None:
    """Every question about a photo, or about none, is there afterwards, once for each answer."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made, asked = list[Example](), set[tuple[int | None, str]]()
        seeds: dict[str, int] = {}
        for number, (seed, variant, question, answer, kind, dish, rank) in enumerate(sent):
            shown = None if seed is None else kept(home, photo(seed, variant))
            if shown is not None and seed is not None:
                seeds[shown] = seed
            given_ = {"answer": answer, "kind": kind, "dish": dish, "rank": rank}
            made.append(said(number, shown, question, **given_))
            asked.add((seed, " ".join(question.split())))
        merged = dataset.arrange(home, [source(*made)]).merged
        left = [(seeds[e.photo] if e.photo else None, e.asked[0]) for e in merged.examples]
        assert set(left) == asked
        once = [(*key, e.turns[0].answer) for key, e in zip(left, merged.examples, strict=True)]
        assert len(once) == len(set(once))
        assert len({e.photo for e in merged.examples}) == len({key[0] for key in left})


def _merged(home: Path, *made: Example) -> dataset.Draft:
    return dataset.arrange(home, [source(*made)])


def test_of_two_copies_the_larger_photo_stays(tmp_path: Path) -> None:
    """The smaller copy's question is asked about the larger photo."""
    small, large = kept(tmp_path, photo(1, "half the size")), kept(tmp_path, photo(1))
    draft = _merged(tmp_path, said(1, small), said(2, large, "Is it hot?", answer="Yes."))
    assert {e.photo for e in draft.merged.examples} == {large}
    assert [e.turns[0].question for e in draft.merged.examples] == ["What is it?", "Is it hot?"]
    assert draft.merged.copies == 1


def test_a_correction_outranks_an_import_and_both_are_shown(tmp_path: Path) -> None:
    """Of two answers to one question the better believed is learnt."""
    shown = kept(tmp_path, photo(1))
    draft = _merged(
        tmp_path,
        said("old", shown, answer="Pho.", rank=examples.IMPORTED),
        said("new", shown, answer="Ramen.", rank=examples.CORRECTED),
    )
    assert [e.origin for e in draft.merged.examples] == ["new"]
    (against,) = draft.merged.contradictions
    assert against.said == (("test-new", "Ramen."), ("test-old", "Pho."))


def test_what_more_people_say_is_believed_then_what_was_said_last(tmp_path: Path) -> None:
    """Two against one; then the later of two."""
    shown = kept(tmp_path, photo(1))
    two = _merged(tmp_path, *(said(i, shown, answer=a) for i, a in enumerate(("A", "A", "B"))))
    assert [e.turns[0].answer for e in two.merged.examples] == ["A"]
    last = _merged(tmp_path, said(1, shown, answer="A"), said(2, shown, answer="B"))
    assert [e.turns[0].answer for e in last.merged.examples] == ["B"]


def test_other_words_for_the_same_dish_and_other_captions_all_stay(tmp_path: Path) -> None:
    """Neither contradicts the other."""
    shown = kept(tmp_path, photo(1))
    words = [said(i, shown, answer=f"Broth {i}.", kind="critique", dish=d) for i, d in
             enumerate(("ramen", "日式拉面"))]  # fmt: skip
    jokes = [said(i, shown, "Caption?", answer=f"Ha {i}", kind="meme") for i in (8, 9)]
    merged = _merged(tmp_path, *words, *jokes).merged
    assert len(merged.examples) == 4
    assert merged.contradictions == ()


def test_two_names_for_one_photo_are_shown(tmp_path: Path) -> None:
    """Answers to different questions are kept, and their disagreement about the dish is told."""
    shown = kept(tmp_path, photo(1))
    draft = _merged(
        tmp_path, said(1, shown, dish="ramen"), said(2, shown, "Is it hot?", dish="pho")
    )
    assert len(draft.merged.examples) == 2
    (against,) = draft.merged.contradictions
    assert (against.about, against.said) == ("dish", (("test-1", "ramen"), ("test-2", "pho")))
