"""LMDeploy 0.18's proxy as far as others see it, with its faults.

It forgets its servers when it dies, sends everything to the least busy one even if that is dead,
and ends a stream whose server died as if all were well.
"""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

LOST = b'{"error_code":-10400,"text":"Failed to get response after a period of time"}\n\n\n'
nodes: dict[str, dict[str, Any]] = {}
node_manager = SimpleNamespace(nodes=nodes)


async def status(_: Request) -> Response:
    return JSONResponse(nodes)


async def add(request: Request) -> Response:
    node = await request.json()
    nodes[node["url"]] = {"models": node["status"]["models"], "unfinished": 0}
    return JSONResponse("Added successfully")


async def remove(request: Request) -> Response:
    nodes.pop((await request.json())["url"], None)
    return JSONResponse("Deleted successfully")


async def models(_: Request) -> Response:
    names = [name for node in nodes.values() for name in node["models"]]
    cards = [{"id": n, "object": "model", "created": 1, "owned_by": "lmdeploy"} for n in names]
    return JSONResponse({"object": "list", "data": cards})


async def chat(request: Request) -> Response:
    body, headers = await request.body(), {"content-type": "application/json"}
    if not nodes:
        error = {"message": "The model does not exist.", "type": "NotFoundError", "code": 404}
        return JSONResponse({"error": error}, 404)
    url, node = min(nodes.items(), key=lambda item: item[1]["unfinished"])
    headers["authorization"] = request.headers.get("authorization", "")

    async def forward() -> AsyncIterator[bytes]:
        node["unfinished"] += 1
        try:
            async with (
                httpx.AsyncClient(timeout=60) as client,
                client.stream(
                    "POST", f"{url}/v1/chat/completions", content=body, headers=headers
                ) as reply,
            ):
                async for some in reply.aiter_bytes():
                    yield some
        except httpx.HTTPError:
            yield LOST
        finally:
            node["unfinished"] -= 1

    kind = (
        "text/event-stream" if b'"stream":true' in body.replace(b" ", b"") else "application/json"
    )
    return StreamingResponse(forward(), media_type=kind)


app = Starlette(
    routes=[
        Route("/nodes/status", status),
        Route("/nodes/add", add, methods=["POST"]),
        Route("/nodes/remove", remove, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/chat/completions", chat, methods=["POST"]),
    ]
)
