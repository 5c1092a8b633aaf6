"""LMDeploy's proxy as ours: it knows the servers that are well, and nobody tells it of others.

```
 server well ─▶ joined ─┐
 server died ─▶ gone ───┴▶ /nodes/… (this machine only) ─ proxy ─ /v1/… ◀─ anywhere, with the key
```

LMDeploy 0.18's servers tell the proxy of themselves once, at their start, and nobody tells it again
when it has been restarted. A server that died stays listed for a minute and a half, and since it
refuses at once it looks like the fastest and gets everything. /nodes takes orders from anybody.
"""

import contextlib
import json
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any, Final

#: Seconds that the proxy may take over an order.
WITHIN: Final = 10.0
#: Where a client is on this machine.
HERE: Final = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
#: What the rest of the world may ask.
OPEN: Final = ("/v1/", "/health")

Scope = dict[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


class Guard:
    """An ASGI layer: what is not `OPEN` exists for this machine alone."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(OPEN):
            client, server = scope.get("client") or ("",), scope.get("server") or (None,)
            if client[0] not in (*HERE, server[0]):
                start = {"type": "http.response.start", "status": 404, "headers": []}
                await send(start)
                await send({"type": "http.response.body", "body": b""})
                return
        await self.app(scope, receive, send)


def joined(proxy: str, server: str, model: str) -> bool:
    """Whether the proxy knows a server; it is told if it does not."""
    try:
        known = json.loads(_ask(f"{proxy}/nodes/status"))
        if server not in known:
            _ask(f"{proxy}/nodes/add", {"url": server, "status": {"models": [model]}})
    except (OSError, ValueError, TypeError):
        return False  # it starts, or starts again: asked again at the next look
    return True


def gone(proxy: str, server: str) -> None:
    """Tell the proxy that a server has ended."""
    with contextlib.suppress(OSError, ValueError):
        _ask(f"{proxy}/nodes/remove", {"url": server})


def _ask(url: str, order: Any = None) -> bytes:
    data = None if order is None else json.dumps(order).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=WITHIN) as reply:
        body: bytes = reply.read(2**20)
        return body
