"""The GPU engine over the real nano model prepares, asks and says what the CPU engine does."""

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from engine import (
    Generation,
    Message,
    PromptTooLong,
    folder,
    nano,
    openvino,
    prepare,
    sampling,
    text,
    tiling,
)
from engine.budget import MANY, Budget
from engine.gpu import GPU
from engine.openvino import OpenVINO
from engine.prepare import Preparer
from foodcritic import photos, prompts
from foodcritic.errors import EngineError, PhotoError
from tests.runners import Local

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("*.jpg"))
GREEDY = Generation(greedy=True, max_new_tokens=40)


@pytest.fixture(scope="module")
def cpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenVINO]:
    engine = openvino.load(nano.MODEL, tmp_path_factory.mktemp("models"))
    yield engine
    asyncio.run(engine.close())


@pytest.fixture
def runner(cpu: OpenVINO) -> Local:
    return Local(cpu)


@pytest.fixture
def engine(runner: Local) -> GPU:
    return GPU(runner, nano.MODEL, name="nano", tokenizer=text.tokenizer(nano.MODEL))


async def said(engine: GPU | OpenVINO, *messages: Message, how: Generation = GREEDY) -> str:
    async with aclosing(engine.stream(messages, how)) as pieces:
        return "".join([piece async for piece in pieces])


def asked(*images: Path | bytes | Image.Image, text: str = "") -> Message:
    return Message(role="user", text=text or prompts.critique("en"), images=images)


@pytest.mark.parametrize("photo", SAMPLES[:4], ids=lambda photo: photo.stem)
async def test_it_says_what_the_cpu_engine_says(engine: GPU, cpu: OpenVINO, photo: Path) -> None:
    assert await said(engine, asked(photo)) == await said(cpu, asked(photo)) != ""


@pytest.mark.parametrize("photo", SAMPLES[:4], ids=lambda photo: photo.stem)
async def test_its_names_are_those_of_a_beam_search(
    engine: GPU, cpu: OpenVINO, photo: Path
) -> None:
    """Greedy with branches finds what the beams find, down to a probability of 2 %."""
    message = asked(photo, text=prompts.naming("en"))
    beams = [pair for pair in await cpu.candidates([message]) if pair[1] > 0.02]
    found = await engine.candidates([message])
    assert [name for name, _ in found[: len(beams)]] == [name for name, _ in beams]
    assert [p for _, p in found[: len(beams)]] == pytest.approx([p for _, p in beams], rel=1e-4)


async def test_a_beginning_is_gone_on_from(engine: GPU, cpu: OpenVINO) -> None:
    begun = Message(role="assistant", text="**Sushi** (寿司) · Japanese · ")
    assert await said(engine, asked(SAMPLES[-2]), begun) == await said(
        cpu, asked(SAMPLES[-2]), begun
    )


async def test_a_closed_answer_stops_the_runner(engine: GPU, runner: Local) -> None:
    stream = engine.stream([asked(SAMPLES[0])], GREEDY)
    async with aclosing(stream):
        assert await anext(stream)
    assert runner.stopped == 1


async def test_a_follow_up_begins_with_the_same_tokens_and_picture(
    engine: GPU, runner: Local
) -> None:
    """So that the engine's prefix cache knows both."""
    first = asked(SAMPLES[0])
    answer = await said(engine, first)
    again = Message(role="user", text="Is it healthy?")
    await said(engine, first, Message(role="assistant", text=answer), again)
    one, two = runner.asked
    assert two.pictures[0] is one.pictures[0]
    assert (one.fresh, two.fresh) == (1, 0)
    head = one.places[0][0] + one.places[0][1]
    assert two.ids[:head] == one.ids[:head]


async def test_it_tells_the_tiles_it_used(engine: GPU) -> None:
    assert await engine.tiles([SAMPLES[0]]) is None
    await said(engine, asked(SAMPLES[0]))
    assert await engine.tiles([SAMPLES[0]]) == 1


async def test_what_cannot_be_asked_is_refused(engine: GPU) -> None:
    with pytest.raises(EngineError, match="1 photo"):
        await said(engine, asked(SAMPLES[0], SAMPLES[1]))
    with pytest.raises(PromptTooLong, match="at most 2016"):
        await said(engine, asked(text="long " * 3000))
    with pytest.raises(PhotoError):
        await said(engine, asked(b"no photo"))


def photo(width: int, height: int) -> Image.Image:
    dice = np.random.default_rng(width * height)
    small = Image.fromarray(dice.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture
def preparer() -> Iterator[Preparer]:
    words = text.tokenizer(nano.MODEL)
    made = Preparer(folder.shape(nano.MODEL, words))
    yield made
    made.close()


def as_float(bits: Any) -> Any:
    return (bits.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("size", [(448, 448), (1280, 960), (700, 1500), (60, 50)])
async def test_pixels_are_internvl2s_to_the_bit(preparer: Preparer, size: tuple[int, int]) -> None:
    """Table, threads and tiles give what the plain formula gives, rounded to bfloat16."""
    image = photo(*size)
    made = await preparer.prepare(image, "a", 12)
    plain = tiling.normalised(tiling.tiles(image))
    exact = plain.view(np.uint32)
    rounded = ((exact + 0x7FFF + (exact >> 16 & 1)) >> 16).astype(np.uint16)
    assert made.pixels.shape == plain.shape
    assert (made.pixels == rounded).all()


@pytest.mark.parametrize(
    ("language", "end"), [("InternLM2ForCausalLM", "<|im_end|>"), ("Phi3ForCausalLM", "<|end|>")]
)
def test_a_turn_ends_where_the_model_was_trained_to(
    tmp_path: Path, language: str, end: str
) -> None:
    """Whatever generation_config.json forgot; else it goes on as the person."""
    config = json.loads((nano.MODEL / "config.json").read_text("utf-8"))
    config["llm_config"] |= {"architectures": [language], "eos_token_id": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    known = {"<|im_end|>": [7], "<|end|>": [8], text.CONTEXT: [9]}
    words = SimpleNamespace(encode=lambda token: known[token])
    assert folder.shape(tmp_path, cast(Any, words)).ends == {2, *known[end]}


def test_half_precision_is_numpys() -> None:
    values = prepare.table(tiling.MEAN, tiling.STD, "float16").view(np.float16)
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    plain = tiling.normalised(every)[0].reshape(3, 256).astype(np.float16)
    assert (values == plain).all()


async def test_a_phone_photo_is_decoded_at_a_fraction(preparer: Preparer) -> None:
    """Half the size suffices for 12 tiles; what is seen hardly changes."""
    large = jpeg(photo(4032, 3024))
    half, grid = await asyncio.to_thread(preparer._decoded, large, 12)
    assert (half.size, grid) == ((2016, 1512), (4, 3))
    made = await preparer.prepare(large, "a", 12)
    whole = await preparer.prepare(photos.decode(large), "b", 12)
    assert made.pixels.shape == whole.pixels.shape
    difference = np.abs(as_float(made.pixels) - as_float(whole.pixels)).mean()
    assert difference < 0.02


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("size", [(2535, 4346), (1178, 4067)])
def test_a_photo_decoded_at_a_fraction_keeps_the_grid_of_the_whole(
    preparer: Preparer, size: tuple[int, int], turned: bool
) -> None:
    """Half of an odd number of pixels is nearest to another grid; a camera may have turned it."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6 if turned else 1
    stored = (size[1], size[0]) if turned else size
    Image.new("RGB", stored).save(buffer, "JPEG", exif=exif)
    small, grid = preparer._decoded(buffer.getvalue(), 12)
    assert small.width * small.height < size[0] * size[1] / 3.9
    assert grid == tiling.grid(*size, 12)
    assert small.width >= 448 * grid[0]
    assert small.height >= 448 * grid[1]


async def test_a_photo_shown_alone_shares_in_an_album(engine: GPU) -> None:
    """It had all the tiles by itself; ten of those fit no context. Both are remembered."""
    engine._budget.most = 12
    images = tuple(photo(800 + i, 600) for i in range(4))
    for image in images:
        await engine._prepared((image,))
    album = await engine._prepared(images)
    assert [prepared.budget for prepared, _ in album] == [3, 3, 3, 3]
    assert not any(known for _, known in album)
    assert [p.budget for p, known in await engine._prepared(images) if known] == [3, 3, 3, 3]
    ((alone, known),) = await engine._prepared(images[:1])
    assert (alone.budget, known) == (12, True)


async def test_a_photo_is_prepared_once(preparer: Preparer) -> None:
    one = await preparer.prepare(photo(800, 600), "a", 12)
    assert await preparer.prepare(photo(800, 600), "a", 12) is one
    assert preparer.remembered("a") == 12
    fewer = await preparer.prepare(photo(800, 600), "a", 6)
    assert len(fewer.pixels) < len(one.pixels)
    assert fewer.fingerprint != one.fingerprint
    assert preparer.remembered("a") == 6


async def test_prepared_photos_are_forgotten_oldest_first(
    preparer: Preparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tile = 3 * 448 * 448 * 2
    monkeypatch.setattr(prepare, "REMEMBERED", 2 * tile)
    for digest in ("a", "b", "c"):
        await preparer.prepare(photo(448, 448), digest, 1)
    assert [preparer.remembered(d) for d in ("a", "b", "c")] == [None, 1, 1]
    await preparer.prepare(photo(448, 448), "c", 1, together=4)
    assert preparer.remembered("c", 4) == 1
    await preparer.prepare(photo(448, 448), "d", 1)
    await preparer.prepare(photo(448, 448), "e", 1)
    assert len(preparer._budgets) == 2


def test_the_budget_shrinks_with_what_waits() -> None:
    budget = Budget(12, target=2.0)
    assert budget.choose() == 12  # nothing is known yet
    budget.measured(tiles=100, seconds=1.0)
    chosen = []
    for waiting in (0, 190, 194, 196, 250):
        budget.waiting = waiting
        chosen.append(budget.choose())
    assert chosen == [12, 6, 4, 1, 1]
    assert Budget(4, target=2.0).choose() == 4
    fixed = Budget(12, target=None)
    fixed.measured(1, 100.0)
    assert fixed.choose() == 12


async def test_photos_are_read_one_after_another_in_order() -> None:
    """The second waits for the first one's first word, and a question without photos for none."""
    budget, order = Budget(12, None), list[str]()
    words = {name: asyncio.Event() for name in "abc"}

    async def ask(name: str) -> None:
        async with budget.reading(13) as reading:
            order.append(name)
            await words[name].wait()
            reading.first(1.0)
            order.append(f"{name}!")

    asking = [asyncio.create_task(ask(name)) for name in "abc"]
    await asyncio.sleep(0.01)
    assert order == ["a"]
    async with budget.reading(0):
        order.append("text")
    asking[1].cancel()  # one that gives up does not hold up the next
    words["a"].set()
    await asyncio.sleep(0.01)
    assert order == ["a", "text", "a!", "c"]
    words["c"].set()
    await asyncio.gather(*asking, return_exceptions=True)
    assert (budget.waiting, budget.inside, budget.answers) == (0, 0, 0)


async def test_with_many_answers_open_nobody_is_held_back() -> None:
    budget, inside = Budget(12, None), list[int]()
    stop = asyncio.Event()

    async def ask(number: int) -> None:
        async with budget.reading(13):
            inside.append(number)
            await stop.wait()

    asking = [asyncio.create_task(ask(i)) for i in range(MANY + 2)]
    await asyncio.sleep(0.01)
    assert len(inside) == MANY + 2
    stop.set()
    await asyncio.gather(*asking)
    assert len(inside) == MANY + 2
    assert budget.inside == 0


def test_the_likeliest_tokens_come_with_their_logarithms() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]]))
    first, second = sampling.likeliest(logits, 2)
    assert {i: round(float(np.exp(p)), 6) for i, p in first.items()} == {2: 0.7, 1: 0.2}
    assert set(second) == {0, 1}
