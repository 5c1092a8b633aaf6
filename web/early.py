"""Put a script before Gradio's own: what its `head` adds comes after it has chosen its words.

app = wrap(app, {"/zh/": "…", "/en/": "…"})        JavaScript by the path of a page
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEAD: Final = b"<head>"


def wrap(app: ASGIApp, scripts: Mapping[str, str]) -> ASGIApp:
    """The app, whose pages at these paths begin with these scripts."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        script = scripts.get(scope["path"]) if scope["type"] == "http" else None
        if script is None:
            await app(scope, receive, send)
            return
        first = _HEAD + f"<script>{script}</script>".encode()
        start: Message = {}
        parts: list[bytes] = []

        async def with_script(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            parts.append(message.get("body", b""))
            if message.get("more_body", False):
                return
            body = b"".join(parts).replace(_HEAD, first, 1)
            headers = MutableHeaders(scope=start)
            headers.add_vary_header("Accept-Encoding")
            if zipped:
                headers["content-encoding"] = "gzip"
                body = await asyncio.to_thread(gzip.compress, body, 6) if body else body
            if body:  # there is none after HEAD
                headers["content-length"] = str(len(body))
            await send(start)
            await send({"type": "http.response.body", "body": body})

        # Compressed by Gradio, it could not be written into.
        zipped = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await app({**scope, "headers": plain}, receive, with_script)

    return wrapped
