"""Serve Telemelya, a Bot API emulator that is not ours, as it comes from PyPI, without Docker.

    python -m tests.telemelya PORT REDIS S3 RELAY WEBHOOK SECRET

It wants Redis (fakeredis serves that protocol), an S3 store (a dictionary behind four routes) and
sends no secret with its webhooks: like the reverse proxy of an operator, a relay adds it.
"""

import asyncio
import os
import sys
import threading
from xml.sax.saxutils import escape

import httpx
import uvicorn
from fakeredis import TcpFakeServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HOST = "127.0.0.1"


def bucket() -> Starlette:
    """As much of S3 as Telemelya uses: make a bucket, put, get and list objects."""
    objects: dict[str, bytes] = {}

    async def whole(request: Request) -> Response:
        if request.method != "GET":
            return Response()
        prefix = request.query_params.get("prefix", "")
        keys = "".join(
            f"<Contents><Key>{escape(key)}</Key></Contents>"
            for key in objects
            if key.startswith(prefix)
        )
        return Response(f"<ListBucketResult>{keys}</ListBucketResult>", media_type="text/xml")

    async def one(request: Request) -> Response:
        key = request.path_params["key"]
        if request.method == "PUT":
            objects[key] = await request.body()
            return Response(headers={"ETag": '"-"'})
        if key not in objects:
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404, media_type="text/xml")
        return Response(objects[key], media_type="application/octet-stream")

    return Starlette(
        routes=[
            Route("/{bucket}", whole, methods=["GET", "HEAD", "PUT", "POST"]),
            Route("/{bucket}/{key:path}", one, methods=["GET", "PUT"]),
        ]
    )


def relay(target: str, secret: str) -> Starlette:
    """What stands before the bot's webhook and adds what Telegram itself would send."""

    async def forward(request: Request) -> Response:
        async with httpx.AsyncClient(timeout=60) as client:
            headers = {"X-Telegram-Bot-Api-Secret-Token": secret}
            reply = await client.post(target, content=await request.body(), headers=headers)
        return Response(status_code=reply.status_code)

    return Starlette(routes=[Route("/", forward, methods=["POST"])])


async def serve(port: int, redis: int, s3: int, relayed: int, target: str, secret: str) -> None:
    store = TcpFakeServer((HOST, redis))
    threading.Thread(target=store.serve_forever, daemon=True).start()
    os.environ |= {
        "MOCK_SERVER_URL": f"http://{HOST}:{port}",
        "REDIS_URL": f"redis://{HOST}:{redis}/0",
        "MINIO_ENDPOINT": f"{HOST}:{s3}",
    }
    from telemelya.server.app import app  # reads its settings when it is imported

    async def listen(application: object, where: int) -> None:
        config = uvicorn.Config(application, host=HOST, port=where, log_level="warning")  # type: ignore[arg-type]
        await uvicorn.Server(config).serve()

    helpers = [
        asyncio.create_task(listen(bucket(), s3)),
        asyncio.create_task(listen(relay(target, secret), relayed)),
    ]
    await asyncio.gather(listen(app, port), *helpers)


if __name__ == "__main__":
    ports = [int(argument) for argument in sys.argv[1:5]]
    asyncio.run(serve(*ports, *sys.argv[5:7]))  # type: ignore[arg-type]
