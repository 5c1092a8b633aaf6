"""LMDeploy 0.18's proxy as far as others see it, with its faults.

It forgets its servers when it dies, sends everything to the least busy one even if that is dead,
ends a stream whose server died as if all were well, and says with a 200 that one cannot be reached.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

nodes: dict[str, dict[str, Any]] = {}


class NodeManager:
    """Who it sends to, and what it says of those that do not answer."""

    nodes = nodes

    def handle_api_timeout(self, node_url: str) -> bytes:
        told = {"error_code": 10402, "text": "Failed to get response after a period of time"}
        return json.dumps(told).encode() + b"\n"


node_manager = NodeManager()


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
    node["unfinished"] += 1

    async def forward() -> AsyncIterator[bytes]:
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.post(f"{url}/v1/chat/completions", data=body, headers=headers) as reply,
            ):
                async for line in reply.content:
                    if line.strip():
                        yield line + b"\n\n"
        except Exception:
            yield node_manager.handle_api_timeout(url)
        finally:
            node["unfinished"] -= 1

    if b'"stream":true' in body.replace(b" ", b""):
        return StreamingResponse(forward(), media_type="text/event-stream")
    return JSONResponse(json.loads(b"".join([some async for some in forward()])))


app = Starlette(
    routes=[
        Route("/nodes/status", status),
        Route("/nodes/add", add, methods=["POST"]),
        Route("/nodes/remove", remove, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/chat/completions", chat, methods=["POST"]),
    ]
)
