"""An answer that is begun again after its worker died goes on from the text that there was."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine import Generation, again, critic, nano, openvino
from engine.critic import Request
from engine.openvino import OpenVINO
from tests.engines import Scripted

PHOTO = b"a photo"
SAMPLE = min((Path(__file__).parents[1] / "samples").glob("*.jpg"))
HEAD = "**Ramen** (日式拉面) · Japanese ·"


@dataclass
class Going(Scripted):
    """Remembers how much it was allowed to write."""

    continues: bool = True
    allowed: list[int] = field(default_factory=list)

    def stream(self, messages: Any, generation: Generation) -> Any:
        self.allowed.append(generation.max_new_tokens)
        return super().stream(messages, generation)


async def written(engine: Scripted, request: Request, kept: str) -> str:
    answer = critic.answer(engine, request, kept=kept)
    pieces = [piece async for piece in answer.write()]
    assert "".join(pieces) == answer.text
    return answer.text


@pytest.mark.parametrize(
    ("kept", "behind"),
    [
        ("Hot. Rich broth, soft noo", (" Rich broth, soft noo", False)),
        ("Hot. Rich broth.\n\n", (" Rich broth.", False)),
        ("Hot. One.\n\n📷 2/2\n\nTwo.", (" One.", True)),
        ("Hot. One.\n\n📷 2/2", (" One.\n\n📷 2/2", False)),
        ("Hot.", ("", False)),
        ("Cold. Rich broth, soft", ("", False)),
        ("Ho", ("", False)),
        ("", ("", False)),
    ],
)
def test_what_is_behind_a_text_is_gone_on_from(kept: str, behind: tuple[str, bool]) -> None:
    assert again.behind(kept, "Hot.", "\n\n📷 2/2\n\n") == behind
    if not behind[1]:
        assert again.behind(kept, "Hot.", "") == behind


async def test_the_model_goes_on_from_the_text_that_there_was() -> None:
    """And writes no more than what was left to write."""
    engine = Going(pieces=(" noodles.",))
    kept = f"{HEAD} 7/10\n\nGood broth."
    assert await written(engine, Request(photos=(PHOTO,)), f"{kept} ") == f"{kept} noodles."
    (asked,) = engine.asked
    assert (asked[-1].role, asked[-1].text) == ("assistant", kept)
    assert engine.allowed == [512 - 3]


async def test_one_that_had_written_all_it_may_says_one_more_token() -> None:
    engine = Going(pieces=(".",))
    kept = f"{HEAD} " + "word, " * 600
    await written(engine, Request(photos=(PHOTO,)), kept)
    assert engine.allowed == [1]


async def test_an_answer_that_would_begin_otherwise_begins_anew() -> None:
    """Somebody has corrected a photo like it meanwhile."""
    engine = Scripted(pieces=(" 7/10", "\n\nGood."), continues=True)
    kept = "**Pho** (越南河粉) · Vietnamese · 9/10\n\nFresh. Th"
    assert await written(engine, Request(photos=(PHOTO,)), kept) == f"{HEAD} 7/10\n\nGood."


async def test_an_engine_that_cannot_go_on_begins_anew() -> None:
    engine = Scripted(pieces=("It is ramen.",))
    assert await written(engine, Request(photos=(PHOTO,)), "It is, I th") == "It is ramen."
    assert engine.asked[0][-1].role == "user"


async def test_code_names_its_source_once_however_far_it_had_come() -> None:
    """The score and the source are there once, wherever the first attempt broke off."""
    request = Request(photos=(PHOTO,), evidence="Pho")
    head = "**Pho** (越南河粉) · Vietnamese · 7/10"
    source = "I go by what a person said: a similar photo is Pho."
    whole = f"{head}\n\n{source} Clear broth, fresh herbs. More lime would do it good."
    for cut in range(len(whole)):
        there = max(len(whole[:cut].rstrip()), len(head) - len(" 7/10"))
        engine = Going(pieces=(head[there:] + "\n",))
        text = await written(engine, request, whole[:cut])
        assert text.startswith(f"{head}\n\n{source}"), whole[:cut]
        assert text.count(source) == 1
        assert all(text.startswith(asked[-1].text) for asked in engine.asked)


async def test_an_album_goes_on_with_the_photo_it_had_come_to() -> None:
    """What was said of the photos before is not asked for again, even of an engine that begins."""
    request = Request(photos=(b"1", b"2", b"3"))
    for continues in (True, False):
        engine = Scripted(pieces=("Good. Bad.",), names=(), continues=continues)
        kept = "One.\n\n📷 2/3\n\nTwo, and a ha"
        text = await written(engine, request, kept)
        second = "Two, and a haGood. Bad." if continues else "Good. Bad."
        assert text == f"One.\n\n📷 2/3\n\n{second}\n\n📷 3/3\n\nGood. Bad."
        assert [asked[0].images for asked in engine.asked] == [(b"2",), (b"3",)]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenVINO]:
    engine = openvino.load(nano.MODEL, tmp_path_factory.mktemp("models"))
    yield engine
    asyncio.run(engine.close())


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_a_real_model_says_the_same_as_without_the_death(real: OpenVINO, lang: Any) -> None:
    """Its drafts end between two tokens, though perhaps in the middle of a word."""
    request, greedy = Request(photos=(SAMPLE,), lang=lang), Generation(greedy=True)
    whole = critic.answer(real, request, greedy)
    drafts = [whole.text async for _ in whole.write()]
    for draft in {drafts[len(drafts) // 2], drafts[-2]}:
        other = critic.answer(real, request, greedy, kept=draft)
        _ = [piece async for piece in other.write()]
        assert other.text == whole.text, draft
