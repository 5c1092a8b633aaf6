"""Servers that are slow, odd, broken or hostile: an answer comes whole, or as one of our errors."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine import Generation, Message, PromptTooLong, openai, wire
from engine.openai import OpenAI, connect
from foodcritic.errors import EngineError, ModelError
from tests.conftest import settings_for

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
GREEDY = Generation(greedy=True, max_new_tokens=8)
MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm"}]}
SSE = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
JSON = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"


def event(delta: Any, finish: str | None = None, **more: Any) -> str:
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return f"data: {json.dumps(chunk | {'choices': choices} | more)}\n\n"


DONE = "data: [DONE]\n\n"
WORD, END = event({"content": "Sushi"}), event({}, "stop")


def sends(*parts: str | bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part.encode() if isinstance(part, str) else part)
            await writer.drain()

    return answer


@asynccontextmanager
async def serving(answer: Answer, models: str | None = None, port: int = 0) -> AsyncIterator[str]:
    """A server that lists a model, and answers what is asked of it with raw bytes."""
    listing = sends(models or JSON + json.dumps(MODELS))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                (int(line[15:]) for line in head.lower().splitlines() if "content-length" in line),
                0,
            )
            await reader.readexactly(length)
            await (listing if head.startswith("GET") else answer)(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # they hung up
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def engine(tmp_path: Path, answer: Answer) -> AsyncIterator[OpenAI]:
    async with serving(answer) as url:
        made = await connect(settings_for(tmp_path, engine_url=url))
        try:
            yield made
        finally:
            await made.close()


async def said(engine: OpenAI) -> str:
    stream = engine.stream([Message(role="user", text="What is this?")], GREEDY)
    async with asyncio.timeout(60), aclosing(stream) as pieces:
        return "".join([piece async for piece in pieces])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([event({"role": "assistant"}), WORD, END, DONE], id="role first"),
        pytest.param(
            [event({"role": "assistant", "content": ""}), WORD, event({"content": ""}, "stop")],
            id="vLLM, without its last line",
        ),
        pytest.param([WORD, END, event({}, choices=[], usage={"prompt_tokens": 3})], id="usage"),
        pytest.param([": ping\n\n", WORD, ": ping\n\n", END, DONE], id="comments"),
        pytest.param([event({}, choices=None), WORD, END], id="no choices at first"),
        pytest.param([event({"content": "Su"}), event({"content": "shi"}, "length")], id="cut off"),
        pytest.param([WORD.replace("\n", "\r\n"), END.replace("\n", "\r\n")], id="CRLF"),
    ],
)  # fmt: skip
async def test_what_servers_send_is_understood(tmp_path: Path, body: list[str]) -> None:
    async with engine(tmp_path, sends(SSE, *body)) as made:
        assert await said(made) == "Sushi"


async def test_letters_may_come_in_parts(tmp_path: Path) -> None:
    """A network cuts where it likes, in the middle of a character too."""
    raw = (event({"content": "寿司"}) + END).replace("\\u5bff\\u53f8", "寿司").encode()

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(SSE.encode())
        for byte in raw:
            writer.write(bytes([byte]))
            await writer.drain()

    async with engine(tmp_path, drip) as made:
        assert await said(made) == "寿司"


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([SSE, WORD], "broke off"),
        ([SSE, WORD, '{"error_code":-10400,"text":"timeout"}\n\n\n'], "broke off"),
        ([SSE, WORD, DONE], "broke off"),
        ([SSE, WORD, event({}, "error")], "could not finish"),
        ([SSE, WORD, event({}, "abort")], "could not finish"),
        ([SSE, WORD, 'data: {"error": {"message": "no memory"}}\n\n'], "no memory"),
        ([SSE, "data: {not json}\n\n"], "cannot be read"),
        ([SSE, b"data: \xff\xfe\n\n"], "cannot be read"),
        ([SSE, "data: []\n\n"], ""),
        ([SSE, "data: 7\n\n"], ""),
        ([SSE, event({"content": {"a": 1}}), END], "no text"),
        ([SSE, event("words"), WORD], "broke off"),
        ([SSE, event({}, choices={"a": 1})], "no chat completion"),
        ([SSE], "broke off"),
        ([JSON, '{"detail": "hello"}'], "broke off"),
        (["HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n", WORD], ""),
        (["HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"], "FOODCRITIC_ENGINE_KEY"),
        (["HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"], ""),
        (["HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"], ""),
        (["HTTP/1.1 307 Moved\r\nlocation: nowhere://x\r\ncontent-length: 0\r\n\r\n"], ""),
        (["SSH-2.0-OpenSSH_9.9\r\n"], ""),
        ([b""], ""),
    ],
    ids=lambda value: None if isinstance(value, list) else value or "any",
)
async def test_what_is_no_answer_is_one_of_our_errors(
    tmp_path: Path, parts: list[Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.01)
    async with engine(tmp_path, sends(*parts)) as made:
        with pytest.raises(EngineError, match=why or None):
            await said(made)


async def test_a_server_that_stalls_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signs of life without a word are none."""
    monkeypatch.setattr(wire, "SILENCE", 0.3)

    async def pinging(writer: asyncio.StreamWriter) -> None:
        await sends(SSE, WORD)(writer)
        while True:
            await sends(": ping\n\n")(writer)
            await asyncio.sleep(0.05)

    async with engine(tmp_path, pinging) as made:
        with pytest.raises(EngineError, match="silent"):
            await said(made)


async def test_a_server_that_stays_after_its_end_holds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "AFTER", 0.05)

    async def stays(writer: asyncio.StreamWriter) -> None:
        await sends(SSE, WORD, END)(writer)
        await over.wait()

    over = asyncio.Event()
    async with engine(tmp_path, stays) as made:
        assert await said(made) == "Sushi"
        over.set()


@pytest.mark.parametrize("word", [WORD, event({}), event({}, choices=[])], ids=str.__len__)
async def test_a_server_that_never_ends_is_given_up(tmp_path: Path, word: str) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(SSE.encode())
        while True:
            await sends(word * 100)(writer)

    async with engine(tmp_path, endless) as made:
        with pytest.raises(EngineError, match="does not stop"):
            await said(made)


async def test_a_line_without_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fill the memory: a line is kept until it ends."""
    monkeypatch.setattr(wire, "LARGEST", 2**20)

    async def long(writer: asyncio.StreamWriter) -> None:
        writer.write(f"{SSE}data: ".encode())
        while True:
            await sends("x" * 65536)(writer)

    async with engine(tmp_path, long) as made:
        with pytest.raises(EngineError, match="larger than"):
            await said(made)


@pytest.mark.parametrize(
    "body",
    [
        '{"error_code": -10400, "text": "the proxy\'s server is gone"}',
        '{"choices": []}',
        '{"choices": [{"index": 0, "finish_reason": "stop"}]}',
        '{"choices": [{"finish_reason": "error", "message": {"content": "internal error"}}]}',
        "[1, 2]",
        "hello",
    ],
)
async def test_a_name_that_is_no_answer_is_one_of_our_errors(tmp_path: Path, body: str) -> None:
    async with engine(tmp_path, sends(JSON, body)) as made:
        with pytest.raises(EngineError):
            await made.candidates([Message(role="user", text="What is this?")])


@pytest.mark.parametrize("tokens", ['[{"logprob": null}]', '[{"logprob": "a"}]', "[{}]", "7"])
async def test_likelihoods_that_are_no_numbers_name_nothing(tmp_path: Path, tokens: str) -> None:
    choice = '{"index": 0, "finish_reason": "stop", "message": {"content": "Sushi"}, '
    body = f'{{"choices": [{choice}"logprobs": {{"content": {tokens}}}}}]}}'
    async with engine(tmp_path, sends(JSON, body)) as made:
        assert await made.candidates([Message(role="user", text="What is this?")]) == ()


@pytest.mark.parametrize(
    ("listing", "why"),
    [
        (JSON + "hello", "no OpenAI-compatible server"),
        (JSON + "[]", "no OpenAI-compatible server"),
        (JSON + '{"data": 7}', "no OpenAI-compatible server"),
        (JSON + '{"data": [{"object": "model"}, {"id": 7}]}', "it has none"),
        (JSON.replace("200 OK", "401 No") + "{}", "refuses FOODCRITIC_ENGINE_KEY"),
        ("SSH-2.0-OpenSSH_9.9\r\n", "no OpenAI-compatible server"),
    ],
)
async def test_what_is_no_such_server_is_named(
    tmp_path: Path, listing: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.01)
    async with serving(sends(b""), listing) as url:
        with pytest.raises(ModelError, match=why or None):
            await connect(settings_for(tmp_path, engine_url=url))


async def test_a_context_that_is_no_number_is_the_usual_one(tmp_path: Path) -> None:
    listing = JSON + json.dumps({"data": [{"id": "m", "max_model_len": "many"}]})
    async with serving(sends(b""), listing) as url:
        made = await connect(settings_for(tmp_path, engine_url=url))
        assert made.context == openai.CONTEXT
        await made.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and not at all for long."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.01)
    monkeypatch.setattr(openai, "AGAIN", 0.05)


@pytest.mark.usefixtures("quick")
async def test_a_server_that_is_started_again_is_waited_for(tmp_path: Path) -> None:
    """All attempts would else be spent while it loads its model."""
    async with serving(sends(b"")) as url:
        made = await connect(settings_for(tmp_path, engine_url=url))
    waiting = asyncio.create_task(said(made))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    async with serving(sends(SSE, WORD, END), port=int(url.rpartition(":")[2])):
        assert await waiting == "Sushi"
    await made.close()


@pytest.mark.usefixtures("quick")
async def test_a_proxy_without_servers_is_waited_for(tmp_path: Path) -> None:
    """LMDeploy's says that there is no such model."""
    error = '{"error": {"message": "The model \'m\' does not exist.", "code": 404}}'
    none = [JSON.replace("200 OK", "404 Not Found") + error] * 3
    answers = [sends(one) for one in none] + [sends(SSE, WORD, END)]

    async def answer(writer: asyncio.StreamWriter) -> None:
        await answers.pop(0)(writer)

    listing = JSON + json.dumps({"data": [{"id": "m", "owned_by": "lmdeploy"}]})
    async with serving(answer, listing) as url:
        made = await connect(settings_for(tmp_path, engine_url=url))
        assert await said(made) == "Sushi"
        await made.close()


@pytest.mark.usefixtures("quick")
async def test_a_server_that_stays_away_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "AWAY", 0.2)
    async with serving(sends(b"")) as url:
        made = await connect(settings_for(tmp_path, engine_url=url))
    with pytest.raises(EngineError, match="cannot be reached"):
        await said(made)
    await made.close()


RECORDED = Path(__file__).parent / "fixtures" / "lmdeploy"


def recorded(name: str) -> tuple[Answer, str]:
    """What LMDeploy's server answered, and the body of it."""
    kept = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
    head = f"HTTP/1.1 {kept['status']} Recorded\r\nconnection: close\r\n"
    for header, value in kept["headers"].items():
        head += f"{header}: {value}\r\n"
    return sends(f"{head}\r\n", kept["body"]), kept["body"]


@pytest.mark.parametrize("name", ["stream", "stream-sampled", "follow-up"])
async def test_lmdeploys_own_stream_is_read_whole(tmp_path: Path, name: str) -> None:
    answer, body = recorded(name)
    chunks = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    said_there = "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )
    how = Generation(greedy=True, max_new_tokens=48)
    async with engine(tmp_path, answer) as made:
        stream = made.stream([Message(role="user", text="What is this?")], how)
        async with aclosing(stream) as pieces:
            assert "".join([piece async for piece in pieces]) == said_there != ""


@pytest.mark.parametrize(
    ("name", "error", "why"),
    [
        ("too-long", EngineError, r"takes less than was known: .* \(2048\)"),
        ("broken-photo", EngineError, "preprocessing failed"),
        ("unknown-model", EngineError, "does not exist"),
        ("wrong-value", EngineError, "temperature"),
        ("unknown-path", EngineError, "404"),
    ],
)
async def test_lmdeploys_own_refusals_are_understood(
    tmp_path: Path, name: str, error: type[Exception], why: str
) -> None:
    async with engine(tmp_path, recorded(name)[0]) as made:
        with pytest.raises(error, match=why) as raised:
            await said(made)
    assert type(raised.value) is error


async def test_lmdeploys_own_context_is_learnt_from_its_refusal(tmp_path: Path) -> None:
    """It tells it nowhere else: the job is asked again, with less of what was said before."""
    async with engine(tmp_path, recorded("too-long")[0]) as made:
        assert made.context == openai.CONTEXT
        for kind in (EngineError, PromptTooLong):
            with pytest.raises(EngineError) as raised:
                await said(made)
            assert type(raised.value) is kind
            assert made.context == 2048


@pytest.mark.parametrize("name", ["name", "name-sampled"])
async def test_lmdeploys_own_likelihoods_are_read(tmp_path: Path, name: str) -> None:
    async with engine(tmp_path, recorded(name)[0]) as made:
        ((dish, odds),) = await made.candidates([Message(role="user", text="What is this?")])
    assert dish == "Sushi"
    assert odds == pytest.approx(0.9528, abs=1e-4)
