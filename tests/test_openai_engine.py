"""The engine over HTTP, against a server that speaks the protocol and does what servers do."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from PIL import Image

import engine as engines
from engine import Generation, Message, PromptTooLong, critic, openai
from engine.openai import OpenAI, connect
from foodcritic.dialogue import Turn
from foodcritic.errors import EngineError, ModelError, PhotoError, SettingsError
from foodcritic.settings import Settings
from tests.chatserver import ChatServer, recorded, serving
from tests.conftest import settings_for

SUSHI = Path(__file__).parents[1] / "samples" / "sushi.jpg"
GREEDY = Generation(greedy=True, max_new_tokens=40)


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with serving(ChatServer()) as running:
        yield running


@pytest.fixture
async def engine(server: ChatServer, tmp_path: Path) -> AsyncIterator[OpenAI]:
    made = await connect(settings_for(tmp_path, engine_url=server.url, engine_key="secret"))
    yield made
    await made.close()


def asked(*images: Path | bytes | Image.Image, text: str = "What is this?") -> Message:
    return Message(role="user", text=text, images=images)


async def said(engine: OpenAI, *messages: Message, how: Generation = GREEDY) -> str:
    async with aclosing(engine.stream(messages, how)) as pieces:
        return "".join([piece async for piece in pieces])


async def test_an_answer_streams(engine: OpenAI, server: ChatServer) -> None:
    assert await said(engine, asked(SUSHI)) == "**Sushi** (寿司) · 8/10"
    assert server.keys == ["Bearer secret"]
    (request,) = server.asked
    assert request["model"] == recorded("models")["data"][0]["id"]
    assert (request["temperature"], request["max_tokens"], request["stream"]) == (0, 40, True)


async def test_settings_of_sampling_arrive(engine: OpenAI, server: ChatServer) -> None:
    how = Generation(temperature=0.7, top_p=0.9, top_k=20, seed=5, max_new_tokens=9)
    await said(engine, asked(text="Hello"), how=how)
    sent = {key: server.asked[0][key] for key in ("temperature", "top_p", "top_k", "seed")}
    assert sent == {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "seed": 5}


async def test_a_photo_arrives_upright_shrunk_and_before_the_words(
    engine: OpenAI, server: ChatServer
) -> None:
    """The sender's camera turned it; servers do not turn it back."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4000, 3000), "red").save(buffer, "JPEG", exif=exif)
    await said(engine, asked(buffer.getvalue()))
    picture, words = server.asked[0]["messages"][0]["content"]
    head, _, data = picture["image_url"]["url"].partition(",")
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == "data:image/jpeg;base64"
    assert shown.size == (1344, 1792)
    assert words == {"type": "text", "text": "What is this?"}


async def test_lmdeploy_is_told_the_tiles_and_others_are_not(
    server: ChatServer, tmp_path: Path
) -> None:
    async def tiles() -> object:
        made = await connect(settings_for(tmp_path, engine_url=server.url, max_tiles=6))
        await said(made, asked(SUSHI))
        await made.close()
        return server.asked[-1]["messages"][0]["content"][0]["image_url"].get("max_dynamic_patch")

    assert await tiles() == 6
    server.models["data"][0]["owned_by"] = "vllm"
    assert await tiles() is None


async def test_an_album_shares_the_tiles(engine: OpenAI, server: ChatServer) -> None:
    images = [Image.new("RGB", (64, 48), (i * 20, 0, 0)) for i in range(4)]
    await said(engine, asked(*images))
    parts = server.asked[0]["messages"][0]["content"][:4]
    assert [part["image_url"]["max_dynamic_patch"] for part in parts] == [3, 3, 3, 3]
    await said(engine, asked(images[0]))
    await said(engine, asked(*images))
    alone, together = (request["messages"][0]["content"] for request in server.asked[1:])
    assert alone[0]["image_url"]["max_dynamic_patch"] == 12
    assert together[:4] == parts, "shown alone meanwhile, it shares again"
    with pytest.raises(EngineError, match="10 photo"):
        await said(engine, asked(*(images * 3)))


async def test_a_follow_up_about_an_album_knows_what_was_said(
    engine: OpenAI, server: ChatServer
) -> None:
    """Ten photos share the tiles of one: there is room for history."""
    images = tuple(Image.new("RGB", (64, 48), (i * 20, 0, 0)) for i in range(10))
    turns = (Turn(question="", answer="**Sushi** · 8/10"),)
    request = critic.Request(kind="question", question="Which?", photos=images, history=turns)
    async with aclosing(critic.answer(engine, request, GREEDY).write()) as pieces:
        assert [piece async for piece in pieces]
    assert [turn["role"] for turn in server.asked[0]["messages"]] == ["user", "assistant", "user"]


async def test_control_tokens_of_people_do_not_arrive(engine: OpenAI, server: ChatServer) -> None:
    await said(engine, asked(text="a <IMAGE_TOKEN> b <|im_end|> c"))
    assert server.asked[0]["messages"][0]["content"] == "a  b  c"


async def test_a_follow_up_sends_the_same_picture(engine: OpenAI, server: ChatServer) -> None:
    first = asked(SUSHI)
    answer = await said(engine, first)
    again = Message(role="user", text="Is it healthy?")
    await said(engine, first, Message(role="assistant", text=answer), again)
    one, two = server.asked
    assert two["messages"][0] == one["messages"][0]
    assert [turn["role"] for turn in two["messages"]] == ["user", "assistant", "user"]


async def test_a_closed_answer_hangs_up(engine: OpenAI, server: ChatServer) -> None:
    server.pieces, server.pause = ["word "] * 500, 0.01
    async with aclosing(engine.stream([asked(text="Hello")], GREEDY)) as pieces:
        assert await anext(pieces) == "word "
    async with asyncio.timeout(60):
        while not server.gone:  # noqa: ASYNC110 the server hears of it later
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (400, "Input length (9000) must be smaller than the model context length", PromptTooLong),
        (400, "This model's maximum context length is 8192 tokens. However, 9000", PromptTooLong),
        (400, "unsupported image", EngineError),
        (401, "Invalid API key", EngineError),
        (404, "The model 'x' does not exist", EngineError),
    ],
)
async def test_a_refusal_is_one_of_our_errors(
    engine: OpenAI,
    server: ChatServer,
    status: int,
    message: str,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai, "AWAY", 0.0)
    server.errors = [(status, message)]
    with pytest.raises(EngineError) as raised:
        await said(engine, asked(text="Hello"))
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("message", "photos", "context"),
    [
        ("At most 1 image(s) may be provided in one request.", 1, 8192),
        ("You set image=2 (or defaulted to 1) in `--limit-mm-per-prompt`, but passed 4", 2, 8192),
        ("This model's maximum context length is 4096 tokens. However, you requested 9", 10, 4096),
        ("The input (9 tokens) is longer than the model's context length (4096 tokens)", 10, 4096),
        ("At most 0 images, context length 12", 10, 8192),
    ],
)
async def test_a_servers_limits_are_learnt_from_its_refusals(
    engine: OpenAI, server: ChatServer, message: str, photos: int, context: int
) -> None:
    """vLLM sees one photo unless told otherwise: the next attempt asks about one at a time."""
    server.errors = [(400, message)]
    with pytest.raises(EngineError):
        await said(engine, asked(SUSHI))
    assert (engine.photos_per_question, engine.context) == (photos, context)
    images = [Image.new("RGB", (64, 48), (i * 20, 0, 0)) for i in range(4)]
    request = critic.Request(kind="critique", photos=tuple(images))
    async with aclosing(critic.answer(engine, request, GREEDY).write()) as pieces:
        assert [piece async for piece in pieces]
    shown = [request["messages"][0]["content"] for request in server.asked[1:]]
    assert max(len(content) - 1 for content in shown) == min(4, photos)


@pytest.mark.parametrize("status", [400, 422])
async def test_a_strict_server_is_asked_without_what_it_does_not_know(
    engine: OpenAI, server: ChatServer, status: int
) -> None:
    """OpenAI's own refuses top_k; it is told so once."""
    how = Generation(max_new_tokens=9)
    server.errors = [(status, "Unrecognized request argument supplied: top_k")]
    for _ in range(2):
        assert await said(engine, asked(text="Hello"), how=how) != ""
    assert ["top_k" in request for request in server.asked] == [True, False, False]


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_refuses_likelihoods_names_nothing(
    engine: OpenAI, server: ChatServer, status: int
) -> None:
    server.errors = [(status, "logprobs is not supported")]
    assert await engine.candidates([asked(SUSHI)]) == ()


async def test_a_busy_server_is_asked_again(engine: OpenAI, server: ChatServer) -> None:
    server.errors = [(503, "Service Unavailable")]
    assert await said(engine, asked(text="Hello")) != ""
    assert len(server.asked) == 2


async def test_a_connection_that_breaks_is_an_engine_error(
    engine: OpenAI, server: ChatServer
) -> None:
    server.break_after = 1
    with pytest.raises(EngineError):
        await said(engine, asked(text="Hello"))


async def test_a_broken_photo_never_leaves(engine: OpenAI, server: ChatServer) -> None:
    with pytest.raises(PhotoError):
        await said(engine, asked(b"no photo"))
    assert server.asked == []


async def test_a_name_comes_with_its_probability(engine: OpenAI, server: ChatServer) -> None:
    server.pieces, server.odds = ["Sushi"], [-0.2, -0.1]
    ((name, odds),) = await engine.candidates([asked(SUSHI)])
    assert name == "Sushi"
    assert odds == pytest.approx(0.7408, abs=1e-4)
    assert server.asked[0]["logprobs"] is True


@pytest.mark.parametrize("odds", [None, [0.0, 0.0]])
async def test_without_likelihoods_there_are_no_candidates(
    engine: OpenAI, server: ChatServer, odds: list[float] | None
) -> None:
    """A greedy server that calls everything certain has told nothing."""
    server.pieces, server.odds = ["Sushi"], odds
    assert await engine.candidates([asked(SUSHI)]) == ()


async def test_a_name_that_was_cut_off_is_none(engine: OpenAI, server: ChatServer) -> None:
    server.odds, server.finish = [-0.2], "length"
    assert await engine.candidates([asked(SUSHI)]) == ()


async def test_the_critic_writes_through_it(engine: OpenAI, server: ChatServer) -> None:
    answer = critic.answer(engine, critic.Request(photos=(SUSHI,)), GREEDY)
    async with aclosing(answer.write()) as pieces:
        assert "".join([piece async for piece in pieces]).startswith("**Sushi**")
    assert answer.critique.score == 8


async def test_the_settings_choose_it(server: ChatServer, tmp_path: Path) -> None:
    made = await engines.load(settings_for(tmp_path, engine_url=f"{server.url}/v1/"))
    assert made.model == "critic"
    await made.close()


@pytest.mark.parametrize("model", ["OpenGVLab/critic", "/srv/models/critic/", "critic"])
async def test_one_env_file_does_for_server_and_client(
    server: ChatServer, tmp_path: Path, model: str
) -> None:
    """`foodcritic engine serve` calls its model by the last part of the name."""
    made = await connect(settings_for(tmp_path, engine_url=server.url, model=model))
    assert made.model == "critic"
    await made.close()


async def test_a_server_that_cannot_be_used_is_named(
    server: ChatServer, settings: Settings
) -> None:
    async def refused(**values: str) -> str:
        with pytest.raises((ModelError, SettingsError)) as raised:
            await connect(settings.model_copy(update={"engine": "openai"} | values))
        return str(raised.value)

    assert "needs FOODCRITIC_ENGINE_URL" in await refused()
    assert "it has critic" in await refused(engine_url=server.url, model="other")
    assert "no OpenAI-compatible server" in await refused(engine_url="http://127.0.0.1:9")
    server.models = {"object": "list", "data": []}
    assert "it has none" in await refused(engine_url=server.url)
