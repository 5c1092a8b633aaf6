"""A job as two chat messages, and the words of both languages."""

import re
import string
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foodcritic.errors import QueueFull
from foodcritic.jobs import Job, Position
from foodcritic.photos import Photo
from foodcritic.queue import JobKind, JobStatus
from web import blocks, render, samples
from web.blocks import gr
from web.texts import EN, TEXTS, ZH, Texts, preferred

RAMEN = "**Ramen** (日式拉面) · Japanese · 8/10\n\nThe broth is deep."
PHOTO = Photo(sha256="a" * 64, width=4, height=3, path=Path("a.jpg"))


def job(**values: Any) -> Job:
    """An answered critique of one photo, but for `values`."""
    blank: dict[str, Any] = dict.fromkeys(field.name for field in fields(Job))
    usual = {"id": 1, "kind": JobKind.CRITIQUE, "lang": "en", "question": "", "draft": ""}
    usual |= {"status": JobStatus.SUCCEEDED, "photos": (PHOTO,), "answer": RAMEN}
    return Job(**{**blank, **usual, "created": datetime.now(UTC), **values})


def answer(texts: Texts = EN, position: Position | None = None, **values: Any) -> str:
    return str(render.messages(job(**values), texts, position)[1]["content"])


def test_a_critique_gets_a_masthead_and_a_seal() -> None:
    shown = answer()
    assert '<div class="fc-dish">Ramen</div>' in shown
    assert "日式拉面 · Japanese" in shown
    assert "<b>8</b><small>/10</small>" in shown
    assert shown.count("Ramen") == 1  # the first line is not repeated
    assert shown.endswith(f"The broth is deep.\n\n{render.WHOLE}")


def test_an_answer_keeps_its_own_language_whatever_the_page_speaks() -> None:
    shown = answer(ZH)
    assert '<div class="fc-dish">Ramen</div>' in shown


def test_several_photos_get_a_masthead_each() -> None:
    second = "**Pho** (越南河粉) · Vietnamese · 6/10\n\nThin."
    shown = answer(answer=f"{RAMEN}\n\n📷 2/2\n\n{second}", photos=(PHOTO, PHOTO))
    assert re.findall(r'fc-dish">(\w+)<', shown) == ["Ramen", "Pho"]
    assert "Photo 2" in shown


def test_each_of_several_photos_that_a_question_is_about_is_named() -> None:
    candidates = [
        {"name_zh": None, "name_en": name, "probability": 0.5} for name in ("Pho", "Soup")
    ]
    shown = answer(
        kind=JobKind.QUESTION,
        answer="One at a time.\n\n📷 1/2\n\nHot.\n\n📷 2/2\n\nMild.",
        critique={"unsure": True, "candidates": candidates},
        photos=(PHOTO, PHOTO),
    )
    order = ("One at a time.", "Photo 1", "Hot.", "fc-doubt", "Photo 2", "Mild.")
    assert [*order] == sorted(order, key=shown.index)


def test_doubt_is_drawn_as_bars_that_never_overflow() -> None:
    candidates = [
        {"name_zh": "越南河粉", "name_en": "Pho", "probability": 1.7},
        {"name_zh": None, "name_en": "<b>Stew", "probability": None},
    ]
    shown = answer(critique={"unsure": True, "candidates": candidates})
    assert "width:100%" in shown
    assert "&lt;b&gt;Stew" in shown
    assert "fc-doubt" not in answer(critique={"unsure": False, "candidates": candidates})


@pytest.mark.parametrize("status", [JobStatus.DOING, JobStatus.SUCCEEDED, JobStatus.CANCELLED])
def test_neither_a_model_nor_a_person_can_write_html_or_fetch_pictures(status: JobStatus) -> None:
    evil = "<script>x</script> ![p](http://evil.example/a.png) <img src=x onerror=y>"
    for question in ("", evil):
        asked, said = render.messages(
            job(status=status, answer=evil, draft=evil, question=question), EN
        )
        assert "<script" not in asked["content"] + said["content"]
        assert "<img" not in said["content"]
        assert asked["content"].count("<img") == 1  # the photo
        assert "![p]" not in said["content"]


def test_waiting_shows_the_place_in_the_queue() -> None:
    where = Position(ahead=3, seconds=7.2)
    assert "3 questions are before yours, about 8 s" in answer(
        status=JobStatus.TODO, position=where
    )
    assert "前面还有 3 个问题" in answer(ZH, where, status=JobStatus.TODO)
    assert "Looking at it" in answer(status=JobStatus.DOING)
    where = Position(ahead=3, seconds=7.2, learning=100.0)
    said = answer(status=JobStatus.TODO, position=where)
    assert "is kept. About 2 min of training are left" in said
    said = answer(ZH, Position(ahead=0, seconds=0.0, learning=0.0), status=JobStatus.TODO)
    assert "学完就回答你<" in said
    where = Position(ahead=0, seconds=0.0, loading=True)
    assert "the model is being loaded" in answer(status=JobStatus.TODO, position=where)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("engine", EN.failed),
        ("worker_died", EN.failed),
        (None, EN.failed),
        ("too_long", EN.talked_out),
        ("truncated", EN.truncated),
        ("lang", EN.failed),
    ],
)
def test_a_failure_is_an_apology_in_plain_words(error: str | None, said: str) -> None:
    assert said in answer(status=JobStatus.FAILED, error=error, answer=None)


def test_both_languages_fill_in_the_same_values() -> None:
    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for field in fields(Texts):
        en, zh = getattr(EN, field.name), getattr(ZH, field.name)
        if isinstance(en, str):
            assert names(en) == names(zh), field.name
            assert en
            assert zh


def test_a_full_queue_says_when_to_come_back() -> None:
    assert "5 questions waiting already" in EN.full(QueueFull("user", 5, 3.2))
    assert "about 4 s" in EN.full(QueueFull("user", 5, 3.2))
    assert "2 分钟" in ZH.full(QueueFull("total", 500, 61))


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        (None, "en"),
        ("", "en"),
        ("zh-TW", "zh"),
        ("fr;q=1, zh;q=0.2, en;q=0.1", "zh"),
        ("en;q=0.1;x, zh;q=oops", "en"),
        ("zh;q=0", "en"),
    ],
)
def test_the_language_a_browser_likes_best(header: str | None, lang: str) -> None:
    assert preferred(header, "en") == lang


def test_samples_come_by_cuisine_and_only_those_that_are_there(tmp_path: Path) -> None:
    rows = "file,label\nramen.jpg,ramen\ngone.jpg,pizza\nedamame.jpg,edamame\nx.jpg,unheard_of\n"
    (tmp_path / "manifest.csv").write_text(rows)
    for name in ("ramen", "edamame", "x"):
        (tmp_path / f"{name}.jpg").touch()
    found = samples.read(tmp_path)
    assert set(found) == {"ramen", "edamame"}
    assert [[s.name for s in group] for _, group in samples.by_cuisine(found, "zh")] == [
        ["edamame", "ramen"]
    ]
    assert samples.read(tmp_path / "nowhere") == {}
    assert set(TEXTS) == {"zh", "en"}


def test_gradio_writes_nothing_for_editors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the seconds that the page takes to start."""
    looked = list[str]()

    def look(code: str, name: str) -> tuple[None, None]:
        looked.append(name)
        return None, None

    monkeypatch.setattr("gradio.component_meta.extract_class_source_code", look)
    with blocks._without_stubs():

        class Quick(gr.HTML): ...

    assert looked == []
    with pytest.raises(ValueError, match="source"):

        class Slow(gr.HTML): ...

    assert looked == ["Slow"], "it still does, unless told"
