"""What of LMDeploy's servers the world may ask, and its proxy told of the servers that are well.

```
 server well ─▶ joined ─┐
 server died ─▶ gone ───┴▶ /nodes/… (this machine only) ─ proxy ─ /v1/… ◀─ anywhere, with the key
                                                                    └▶ api_server: /v1/… alone
```

LMDeploy 0.18's servers tell the proxy of themselves once, at their start, and nobody tells it again
when it has been restarted. A server that died stays listed for a minute and a half, and since it
refuses at once it looks like the fastest and gets everything: the proxy itself leaves out who
refuses (`left_out`), since our word comes half a second later. /nodes takes orders from anybody.
Its api_server unpickles what it gets at /update_weights, which runs whatever code is in there; and
both tell browsers that any web page may ask them anything, on localhost without a key, too.
"""

import contextlib
import errno
import http.client
import json
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any, Final

#: Seconds that the proxy may take over an order.
WITHIN: Final = 10.0
#: Where a client is on this machine.
HERE: Final = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
#: What the rest of the world may ask.
OPEN: Final = ("/v1/", "/health", "/metrics")
_AWAY: Final = (OSError, http.client.HTTPException)
#: To servers of this machine, whatever proxy the environment names for the world.
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Scope = dict[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


class Guard:
    """An ASGI layer: what is not `OPEN` does not exist, or for this machine's programs alone."""

    def __init__(
        self, app: App, *, orders: bool = True, well: Callable[[], object] | None = None
    ) -> None:
        #: `orders`: whether programs of this machine may ask for the rest.
        self.app, self.orders = app, orders
        #: Answers /health, where the app does not.
        self._well = well

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if self._well is not None and scope.get("path") == "/health":
            await self._say(200 if self._well() else 503, send)
        elif scope["type"] == "lifespan" or scope["path"].startswith(OPEN) or self._ours(scope):
            await self.app(scope, receive, send)
        else:
            await self._say(404, send)

    async def _say(self, status: int, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def _ours(self, scope: Scope) -> bool:
        """Whether a program of this machine asks, and no web page in a browser here."""
        client, server = scope.get("client") or ("",), scope.get("server") or (None,)
        page = any(name == b"origin" for name, _ in scope.get("headers") or ())
        return self.orders and client[0] in (*HERE, server[0]) and not page


def guard(*, orders: bool, well: Callable[[], object] | None = None) -> None:
    """Put a `Guard` around whatever uvicorn serves in this process."""
    import uvicorn

    run = uvicorn.run

    def guarded(app: Any, **how: Any) -> None:
        run(Guard(app, orders=orders, well=well), **how)

    uvicorn.run = guarded


def left_out(manager: Any) -> None:
    """Have LMDeploy's proxy leave out a server whose port is closed, and answer 503 for it.

    `manager` is its node manager. Its own answer is a 200 that no client understands, so that a
    question was tried three times within half a second, and given up.
    """
    from fastapi import HTTPException

    told = manager.handle_api_timeout

    def failed(url: str) -> bytes:
        if getattr(sys.exc_info()[1], "errno", None) != errno.ECONNREFUSED:
            answer: bytes = told(url)
            return answer
        manager.nodes.pop(url, None)  # until it is well again, and `joined`
        raise HTTPException(503, "a server is being started again")

    manager.handle_api_timeout = failed


def answers(url: str) -> bool:
    """Whether a server says that it is well."""
    try:
        _ask(url)
    except _AWAY:
        return False
    return True


def joined(proxy: str, server: str, model: str) -> bool:
    """Whether the proxy knows a server; it is told if it does not."""
    try:
        known = json.loads(_ask(f"{proxy}/nodes/status"))
        if server not in known:
            _ask(f"{proxy}/nodes/add", {"url": server, "status": {"models": [model]}})
    except (*_AWAY, ValueError, TypeError):
        return False  # it starts, or starts again: asked again at the next look
    return True


def gone(proxy: str, server: str) -> None:
    """Tell the proxy that a server has ended."""
    with contextlib.suppress(*_AWAY, ValueError):
        _ask(f"{proxy}/nodes/remove", {"url": server})


def _ask(url: str, order: Any = None) -> bytes:
    data = None if order is None else json.dumps(order).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with _DIRECT.open(asked, timeout=WITHIN) as reply:
        body: bytes = reply.read(2**20)
        return body
