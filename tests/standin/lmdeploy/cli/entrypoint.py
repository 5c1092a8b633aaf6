"""`lmdeploy serve api_server | proxy`: the flags that we pass, and nothing that needs a GPU."""

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

WORDS = 12


def run() -> None:
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(required=True).add_parser("serve").add_subparsers(dest="kind")
    server, proxy = kinds.add_parser("api_server"), kinds.add_parser("proxy")
    server.add_argument("model_path")
    for name in ("model-name", "backend", "dtype", "session-len", "max-batch-size"):
        server.add_argument(f"--{name}", required=True)
    for name in ("cache-max-entry-count", "max-prefill-token-num", "quant-policy"):
        server.add_argument(f"--{name}", required=True)
    server.add_argument("--allowed-media-domains", nargs="*")
    server.add_argument("--enable-prefix-caching", action="store_true")
    server.add_argument("--trust-remote-code", action="store_true")
    proxy.add_argument("--disable-cache-status", action="store_true")
    for one in (server, proxy):
        one.add_argument("--server-name", required=True)
        one.add_argument("--server-port", type=int, required=True)
        one.add_argument("--api-keys", nargs="*")
    given = parser.parse_args()
    if given.kind == "proxy":
        from lmdeploy.serve.proxy.proxy import app
    else:
        from lmdeploy.messages import TurbomindEngineConfig

        made = TurbomindEngineConfig(dtype=given.dtype)
        told = f"{given.model_name}: {given.model_path} in {made.gemm_input_dtype}"
        print(told, flush=True)  # noqa: T201
        if made.gemm_input_dtype and Path(given.model_path, "no-kernel").exists():
            raise RuntimeError("no GEMM kernel family for this component")
        if given.backend == "pytorch":
            from lmdeploy.pytorch.engine.mp_engine.zmq_engine import ZMQMPEngine

            print(f"engine {ZMQMPEngine().proc.pid}", flush=True)  # noqa: T201
        app = answering(given.model_name, (given.api_keys or [None])[0])
    uvicorn.run(app, host=given.server_name, port=given.server_port, log_level="warning")


def answering(model: str, key: str | None) -> Starlette:
    """A server that says which process it is, word by word."""

    async def health(_: Request) -> Response:
        return Response()

    async def models(_: Request) -> Response:
        card = {"id": model, "object": "model", "created": 1, "owned_by": "lmdeploy"}
        return JSONResponse({"object": "list", "data": [card]})

    async def chat(request: Request) -> Response:
        if key and request.headers.get("authorization") != f"Bearer {key}":
            return JSONResponse({"error": {"message": "Unauthorized", "type": "x", "code": 1}}, 401)
        if (await request.json()).get("stream"):
            return StreamingResponse(events(), media_type="text/event-stream")
        said = {"role": "assistant", "content": str(os.getpid())}
        choice = {"index": 0, "message": said, "finish_reason": "stop", "logprobs": None}
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": model}
        return JSONResponse(answer | {"choices": [choice]})

    async def events() -> AsyncIterator[str]:
        base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": model}
        for number in range(WORDS + 1):
            end = number == WORDS
            delta = {} if end else {"content": f"{os.getpid()} "}
            choice = {"index": 0, "delta": delta, "finish_reason": "stop" if end else None}
            yield f"data: {json.dumps(base | {'choices': [choice]})}\n\n"
            await asyncio.sleep(0.02)
        yield "data: [DONE]\n\n"

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/update_weights", health, methods=["POST"]),  # unpickles what it gets
            Route("/v1/models", models),
            Route("/v1/chat/completions", chat, methods=["POST"]),
        ]
    )
