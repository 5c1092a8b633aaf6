"""A visitor's say over what is held about them, as plain pages that need no script.

    GET  /privacy      what is held, for how long, whether it may be learnt from
    POST /consent      agrees=yes|no
    GET  /mine.zip     a copy of everything
    POST /forget       everything goes, and the browser's number with it

Whose it is says the signed session alone: no request names a person. What changes something is
believed only from a page of ours, not from another port of the same host.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from foodcritic import belongings, portability, privacy
from foodcritic.db import Database
from foodcritic.privacy import Withdraw
from web import scratch
from web.texts import LANGUAGES, TEXTS, Lang, spoken
from web.transcript import CHANNEL

log = structlog.get_logger(__name__)

#: Copies that are made at the same time: each costs as much disk as its photos.
COPIES: Final = 2
#: Bytes of photos in one copy: a browser takes any.
_WHOLE: Final = 2**62
_PRIVATE: Final = {"Cache-Control": "no-store"}

templates = Jinja2Templates(Path(__file__).parent / "static")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """The pages over one database."""

    db: Database
    #: takes what somebody takes back, or is forgotten, out of the datasets
    withdraw: Withdraw
    copying: asyncio.Semaphore

    async def overview(self, request: Request) -> Response:
        """What is held, and the buttons."""
        number = _number(request)
        lang = _lang(self.db, request)
        held = await belongings.of(self.db, CHANNEL, number) if number else None
        known = await privacy.consent(self.db, CHANNEL, number) if number else None
        said = request.session.pop("said", None)
        return templates.TemplateResponse(
            request,
            "privacy.html",
            {
                "texts": TEXTS[lang],
                "other": "en" if lang == "zh" else "zh",
                "held": held,
                "consent": known,
                "days": self.db.settings.retention_days,
                "said": getattr(TEXTS[lang], said) if said in _SAID else "",
                "forgotten": said == "forgotten",
            },
            headers=_PRIVATE,
        )

    async def consent(self, request: Request) -> Response:
        """Store a yes or a no."""
        if (number := _number(request)) is None or not _is_ours(request):
            return _refused()
        async with request.form(max_files=0, max_fields=4) as form:
            agrees = form.get("agrees")
        if agrees not in ("yes", "no"):
            return _refused()
        await privacy.decide(self.db, CHANNEL, number, agrees == "yes", withdraw=self.withdraw)
        log.info("web.consent", agrees=agrees == "yes")
        request.session["said"] = f"consent_{agrees}"
        return RedirectResponse("/privacy", 303)

    async def copy(self, request: Request) -> Response:
        """Everything, as a zip file whose name is gone before it is sent."""
        if (number := _number(request)) is None:
            return Response("Not found", 404)
        home = self.db.settings.home / "web"
        async with self.copying:
            with scratch.folder(home) as folder:
                out = folder / "foodcritic.zip"
                await portability.export(
                    self.db, self.db.settings, CHANNEL, number, out, most=_WHOLE
                )
                size, file = out.stat().st_size, out.open("rb")
        log.info("web.exported", bytes=size)
        return StreamingResponse(
            _pieces(file),
            media_type="application/zip",
            headers={
                "Content-Length": str(size),
                "Content-Disposition": 'attachment; filename="foodcritic.zip"',
                **_PRIVATE,
            },
        )

    async def forget(self, request: Request) -> Response:
        """Delete everything; the browser is nobody's then."""
        if (number := _number(request)) is None or not _is_ours(request):
            return _refused()
        await privacy.forget(self.db, self.db.settings, CHANNEL, number, withdraw=self.withdraw)
        del request.session["user"]
        request.session["said"] = "forgotten"
        return RedirectResponse("/privacy", 303)


#: What a page may say once, after a redirect.
_SAID: Final = frozenset({"consent_yes", "consent_no", "forgotten"})


def routes(db: Database, withdraw: Withdraw) -> list[Route]:
    """The routes of the site."""
    rights = Rights(db=db, withdraw=withdraw, copying=asyncio.Semaphore(COPIES))
    return [
        Route("/privacy", rights.overview),
        Route("/consent", rights.consent, methods=["POST"]),
        Route("/mine.zip", rights.copy),
        Route("/forget", rights.forget, methods=["POST"]),
    ]


def _number(request: Request) -> int | None:
    number = request.session.get("user")
    return number if isinstance(number, int) else None


def _lang(db: Database, request: Request) -> Lang:
    """What the address says, else as everywhere."""
    wanted = request.query_params.get("lang")
    for lang in LANGUAGES:
        if wanted == lang:
            return lang
    return spoken(request.session, request.headers.get("accept-language"), db.settings.language)


def _is_ours(request: Request) -> bool:
    """Whether a page of this very origin sent a form: cookies do not tell ports apart."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site == "same-origin"
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, 2**18):
            yield piece


def _refused() -> Response:
    return PlainTextResponse("Reload the page and try again", 403)
