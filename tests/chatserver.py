"""A chat completions server for tests: speaks HTTP and SSE, says what a test wrote."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

#: Recorded from `lmdeploy serve api_server` 0.18 (`python -m benchmarks.gpu.record`).
RECORDED = Path(__file__).parent / "fixtures" / "lmdeploy"


def recorded(name: str) -> Any:
    """The body that the real server sent."""
    return json.loads(json.loads((RECORDED / f"{name}.json").read_text("utf-8"))["body"])


@dataclass
class ChatServer:
    """What it says, and what it was asked."""

    pieces: list[str] = field(default_factory=lambda: ["**Sushi** ", "(寿司)", " · 8/10"])
    models: Any = field(default_factory=lambda: recorded("models"))
    #: Logarithms of the probabilities of a whole answer's tokens; None: it knows none.
    odds: list[float] | None = None
    finish: str = "stop"
    #: Status and message instead of an answer, the next so many times.
    errors: list[tuple[int, str]] = field(default_factory=list)
    #: Break the connection after so many pieces.
    break_after: int | None = None
    pause: float = 0.0
    asked: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    gone: int = 0
    url: str = ""

    async def list(self, request: Request) -> Response:
        self.keys.append(request.headers.get("authorization", ""))
        return JSONResponse(self.models)

    async def chat(self, request: Request) -> Response:
        asked = await request.json()
        self.asked.append(asked)
        if self.errors:
            status, message = self.errors.pop(0)
            error = {"message": message, "type": "invalid_request_error", "code": None}
            return JSONResponse({"error": error}, status)
        base = {"id": "1", "object": "chat.completion", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            logprobs = None
            if self.odds is not None:
                token: dict[str, Any] = {"token": "x", "bytes": None, "top_logprobs": []}
                logprobs = {"content": [token | {"logprob": odd} for odd in self.odds]}
            said = {"role": "assistant", "content": "".join(self.pieces)}
            choice = {"index": 0, "message": said, "finish_reason": self.finish}
            return JSONResponse(base | {"choices": [choice | {"logprobs": logprobs}]})
        base["object"] = "chat.completion.chunk"
        return StreamingResponse(self._events(base), media_type="text/event-stream")

    async def _events(self, base: dict[str, Any]) -> AsyncIterator[str]:
        try:
            for number, piece in enumerate(self.pieces):
                if number == self.break_after:
                    raise ConnectionResetError
                choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
                yield f"data: {json.dumps(base | {'choices': [choice]})}\n\n"
                await asyncio.sleep(self.pause)
            choice = {"index": 0, "delta": {}, "finish_reason": self.finish}
            yield f"data: {json.dumps(base | {'choices': [choice]})}\n\ndata: [DONE]\n\n"
        except asyncio.CancelledError:
            self.gone += 1
            raise


@asynccontextmanager
async def serving(server: ChatServer) -> AsyncIterator[ChatServer]:
    """Listen on a free port while the block runs."""
    app = Starlette(
        routes=[
            Route("/v1/models", server.list),
            Route("/v1/chat/completions", server.chat, methods=["POST"]),
        ]
    )
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    task = asyncio.create_task(running.serve())
    while not running.started:  # noqa: ASYNC110 uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        running.should_exit = running.force_exit = True
        await task
