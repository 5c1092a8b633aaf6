"""What stands before the page: who may come in, how much they may bring, what a browser may load.

```
 request ─▶ host known? ─▶ size? ─▶ session (signed cookie) ─▶ route? ─▶ password given?
            headers on everything that leaves ◀── app ◀── files are uploads, not addresses ◀┘
```

Plain ASGI, because answers are streamed. Gradio serves far more routes than the page needs (a
proxy, an API, monitoring, code editing): only those on `ROUTES` exist here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
import tempfile
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foodcritic import photos
from foodcritic.settings import Settings
from web.talk import MOST_PHOTOS

LOCAL: Final = ("localhost", "127.0.0.1", "::1", "[::1]")
COOKIE: Final = "foodcritic"
#: Seconds a browser is remembered.
REMEMBERED: Final = 365 * 24 * 3600
#: Bytes of a request: an upload of as many photos as a question may have, or anything else.
UPLOAD_LIMIT: Final = MOST_PHOTOS * photos.MAX_BYTES + 2**20
BODY_LIMIT: Final = 2**20

#: Seconds a request may go on after we are told to stop, before `web.app.PATIENCE` runs out.
LATE: Final = 2.0

#: Paths that exist; the rest of Gradio's is not served.
ROUTES: Final = re.compile(
    r"/|/login|/logout|/privacy|/consent|/forget|/mine\.zip|/healthz|/favicon\.(?:ico|svg)"
    r"|/photo/[0-9a-f]{64}\.jpg|/sample/[\w-]{1,64}\.jpg"
    r"|/(?:zh|en)(?:/(?:config/?|theme\.css|(?:assets|static)/[\w./@-]+"
    r"|gradio_api/(?:app_id|info/?|theme\.css|startup-events|upload|upload_progress"
    r"|queue/join|queue/data|reset/?|cancel|heartbeat/\w{1,64}|file=.{1,1024}))?)?"
)
#: What may be had without the password: nothing that says anything about anybody.
OPEN: Final = re.compile(r"/login|/healthz|/favicon\.(?:ico|svg)")
#: Where a browser is sent to the password, and not only told.
PAGES: Final = ("/", "/zh", "/en", "/zh/", "/en/", "/privacy")
#: What stays open as long as the page does.
STREAMS: Final = re.compile(r"/gradio_api/(?:queue/data|heartbeat/\w+|upload_progress)$")

# Gradio starts from inline scripts and styles, and compiles its components' small templates.
POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; manifest-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'self'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def wrap(app: ASGIApp, settings: Settings, stopping: asyncio.Event) -> ASGIApp:
    """The app behind everything above."""
    guarded: ASGIApp = _Guard(app, settings, stopping)
    guarded = SessionMiddleware(
        guarded, _key(settings), session_cookie=COOKIE, max_age=REMEMBERED, same_site="lax"
    )
    guarded = _Limits(guarded)
    if settings.web_password is None:
        # A page of another site that calls itself our address (DNS rebinding) gets nothing.
        guarded = TrustedHostMiddleware(guarded, [*LOCAL], www_redirect=False)
    return guarded


def is_local(host: str) -> bool:
    """Whether binding to `host` keeps the page on this machine."""
    return host in LOCAL or host.startswith("127.")


class _Limits:
    """Refuse what is too large before it is read, and set the headers of all that leaves."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self._app
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            headers = Headers(scope=scope)
            length = headers.get("content-length", "")
            limit = UPLOAD_LIMIT if scope["path"].endswith("/upload") else BODY_LIMIT
            # Chunks go before a length (RFC 9112, 6.3), and have no end that we could know.
            if not length.isdecimal() or "transfer-encoding" in headers:
                app = PlainTextResponse("Content-Length is missing", 411)
            elif len(length) > 12 or int(length) > limit:
                app = PlainTextResponse("This is too large", 413)
            elif headers.get("sec-fetch-site") == "cross-site":
                app = PlainTextResponse("Another site's page sent this", 403)
        await app(scope, receive, with_headers)


class _Guard:
    """Let in who may come in; give each browser a number; end streams when we stop."""

    def __init__(self, app: ASGIApp, settings: Settings, stopping: asyncio.Event) -> None:
        self._app = app
        self._password = settings.web_password
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        session: dict[str, Any] = scope["session"]
        if ROUTES.fullmatch(path) is None or ".." in path.split("/"):
            await PlainTextResponse("Not found", 404)(scope, receive, send)
            return
        if self._password is not None and not session.get("in") and not OPEN.fullmatch(path):
            refused = PlainTextResponse("Log in first", 401)
            page = scope["method"] == "GET" and path in PAGES
            await (RedirectResponse("/login", 303) if page else refused)(scope, receive, send)
            return
        if path in ("/zh/", "/en/"):
            if not isinstance(session.get("user"), int):
                session["user"] = secrets.randbits(52)
            if session.get("lang") != path[1:3]:
                session["lang"] = path[1:3]
        if path.endswith("/queue/join"):
            body = await _body(receive)
            if not _stays_here(body):
                await PlainTextResponse("Upload the file first", 400)(scope, receive, send)
                return
            receive = _again(body, receive)
        await self._until_stopped(scope, receive, send)

    async def _until_stopped(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; what streams is cut once we are told to stop, what else takes long soon after."""
        streams = STREAMS.search(scope["path"]) is not None
        started, ended = False, False

        async def watched(message: Message) -> None:
            nonlocal started, ended
            started = True
            ended = message["type"] != "http.response.start" and not message.get("more_body", False)
            await send(message)

        async def stop() -> None:
            await self._stopping.wait()
            await asyncio.sleep(0 if streams else LATE)

        serving = asyncio.ensure_future(self._app(scope, receive, watched))
        stopping = asyncio.ensure_future(stop())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not serving.done():
                serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving
        if not started:
            await PlainTextResponse("The page is closing", 503)(scope, receive, send)
        elif streams and not ended:
            await send({"type": "http.response.body"})  # or uvicorn complains that none came


def _stays_here(body: bytes) -> bool:
    """Whether an event is JSON that names uploaded files alone: addresses Gradio would fetch."""

    def check(found: dict[str, Any]) -> dict[str, Any]:
        if "://" in str(found.get("path")):
            raise ValueError("an address")
        return found

    try:
        json.loads(body, object_hook=check)
    except (ValueError, RecursionError):
        return False
    return True


async def _body(receive: Receive) -> bytes:
    """All of a request's body; `_Limits` has bounded it."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read already, then what follows it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay


def _key(settings: Settings) -> str:
    """What sessions are signed with: a secret file and the password (a new one logs out)."""
    path = settings.home / "web" / "session.key"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:  # readable by us alone
            draft.write(secrets.token_hex(32))
            draft.flush()
            with contextlib.suppress(FileExistsError):  # another process was faster
                path.hardlink_to(draft.name)
    secret = path.read_text(encoding="ascii")
    password = settings.web_password.get_secret_value() if settings.web_password else ""
    return hashlib.sha256(f"{secret}\n{password}".encode()).hexdigest()
