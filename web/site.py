"""The site: both languages' pages, pictures, the way in and out; an ASGI app behind `web.guard`."""

from __future__ import annotations

import asyncio
import hmac
import io
from functools import partial
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from PIL import Image
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp

from foodcritic import photos, privacy
from foodcritic.db import Database
from foodcritic.errors import PhotoError
from foodcritic.privacy import Withdraw
from web import early, guard, idle, page, rights, samples, sources, transcript
from web.blocks import gr
from web.samples import Sample
from web.texts import LANGUAGES, TEXTS, Lang, spoken
from web.theme import THEME
from web.transcript import Visitor

STATIC: Final = Path(__file__).parent / "static"
#: Pixels a side of the pictures in a conversation.
THUMBNAIL: Final = 720
#: Seconds that the answer to a wrong password takes: it bounds guessing, with `web.sources`.
PENALTY: Final = 1.0
_HEAD: Final = (
    '<meta name="theme-color" content="#fbf7ef" media="(prefers-color-scheme: light)">'
    '<meta name="theme-color" content="#171310" media="(prefers-color-scheme: dark)">'
    '<link rel="icon" type="image/svg+xml" href="../favicon.svg">'
    # Inline, so that it is there before the page's first event.
    f"<script>{(STATIC / 'line.js').read_text(encoding='utf-8')}</script>"
)
#: Gradio's own words follow the browser's language: this names the page's.
_SPOKEN: Final = 'Object.defineProperty(navigator, "language", {{ value: "{}" }})'

templates = Jinja2Templates(STATIC)


def build(
    db: Database, stopping: asyncio.Event, *, withdraw: Withdraw = privacy.nothing
) -> ASGIApp:
    """The whole site; Gradio's upload folder (GRADIO_TEMP_DIR) must be set before."""
    shown = samples.read()
    door, asks = sources.Door(), sources.Asks(db.settings)
    pages = list[gr.Blocks]()
    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, lifespan=partial(idle.ending, pages)
    )
    app.router.routes += [
        Route("/", partial(_front, db)),
        Route("/login", partial(_login, db, door), methods=["GET", "POST"]),
        Route("/logout", _logout),
        Route("/healthz", _health),
        Route("/favicon.svg", _icon),
        Route("/favicon.ico", _icon),
        Route("/photo/{sha256}.jpg", partial(_photo, db)),
        Route("/sample/{name}.jpg", partial(_sample, shown)),
        *rights.routes(db, withdraw),
    ]
    words = gr.I18n(**{TEXTS[lang].locale: TEXTS[lang].untranslated() for lang in LANGUAGES})
    for lang in LANGUAGES:
        pages.append(page.build(db, lang, shown, withdraw, asks))
        idle.rest(pages[-1])
        app = gr.mount_gradio_app(
            app,
            pages[-1],
            path=f"/{lang}",
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=photos.MAX_BYTES,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=THEME,
            css_paths=STATIC / "page.css",
            js=(STATIC / "page.js").read_text(encoding="utf-8"),
            head=_HEAD,
            i18n=words,
            allowed_paths=[],
            blocked_paths=[str(db.settings.home / name) for name in ("media", "models", "runs")],
        )
    spoken = {f"/{lang}/": _SPOKEN.format(TEXTS[lang].locale) for lang in LANGUAGES}
    return guard.wrap(early.wrap(app, spoken), db.settings, stopping)


async def _front(db: Database, request: Request) -> Response:
    """To the page in the visitor's language."""
    return RedirectResponse(f"/{_lang(db, request)}/", 303, headers={"Vary": "Accept-Language"})


async def _login(db: Database, door: sources.Door, request: Request) -> Response:
    """The password, once a browser."""
    password = db.settings.web_password
    if password is None or request.session.get("in"):
        return RedirectResponse("/", 303)
    texts, said, status = TEXTS[_lang(db, request)], "", 200
    if request.method == "POST":
        source = sources.of(request.scope)
        async with request.form(max_files=0, max_fields=4) as form, door.guess(source) as may:
            given = str(form.get("password", "")).encode()
            if may and hmac.compare_digest(given, password.get_secret_value().encode()):
                request.session["in"] = True
                return RedirectResponse("/", 303)
            said, status = (texts.wrong, 403) if may else (texts.wrong_often, 429)
            await asyncio.sleep(PENALTY if may else 0)
    return templates.TemplateResponse(
        request,
        "login.html",
        {"texts": texts, "said": said},
        status_code=status,
        headers={"Cache-Control": "no-store"},
    )


async def _logout(request: Request) -> Response:
    """Forget the password; the conversation stays this browser's."""
    request.session.pop("in", None)
    return RedirectResponse("/", 303)


async def _health(_request: Request) -> Response:
    return HTMLResponse("ok")


async def _icon(_request: Request) -> Response:
    return FileResponse(STATIC / "icon.svg", headers={"Cache-Control": "max-age=86400"})


async def _photo(db: Database, request: Request) -> Response:
    """A photo of the visitor's own questions, small, upright, without its metadata."""
    number = request.session.get("user")
    sha256 = str(request.path_params["sha256"])
    photo = await transcript.owns_photo(db, Visitor(number), sha256) if number else None
    if photo is None:
        return Response("Not found", 404)
    try:
        data = await asyncio.to_thread(_thumbnail, db.settings.media / photo.path)
    except PhotoError:
        return Response("Not found", 404)
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(data, media_type="image/jpeg", headers=headers)


async def _sample(shown: dict[str, Sample], request: Request) -> Response:
    sample = shown.get(str(request.path_params["name"]))
    if sample is None:
        return Response("Not found", 404)
    return FileResponse(sample.path, headers={"Cache-Control": "max-age=86400"})


def _lang(db: Database, request: Request) -> Lang:
    return spoken(request.session, request.headers.get("accept-language"), db.settings.language)


def _thumbnail(path: Path) -> bytes:
    image: Image.Image = photos.load(path, side=THUMBNAIL)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=82)
    return out.getvalue()
