"""A served page for a test: real database, real worker, the page on a free port, and browsers.

```python
async with serving(db, Scripted()) as url:
    async with chromium() as browser, tab(browser, url) as page:
        …
```
"""

import asyncio
import io
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageDraw
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from engine import Engine, worker
from foodcritic import privacy
from foodcritic.db import Database
from foodcritic.privacy import Withdraw
from web import app

CHROMIUM = Path("/usr/bin/chromium")
#: What keeps Chromium from asking its maker about anything, and what a container needs.
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="no /usr/bin/chromium: apt-get install chromium"
)


@asynccontextmanager
async def serving(
    db: Database, engine: Any = None, *, withdraw: Withdraw = privacy.nothing, **values: Any
) -> AsyncIterator[str]:
    """The page on a port of its own, with a worker where there is an engine; its address."""
    settings = db.settings.model_copy(update={"web_port": 0, **values})
    db = replace(db, settings=settings)
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    page = app.run(settings, db, stop, ready=ready.set_result, withdraw=withdraw)
    tasks = [asyncio.create_task(page)]
    if engine is not None:
        model: Engine = engine
        tasks.append(asyncio.create_task(worker.run(db, model, settings, stop)))
    try:
        waited: list[asyncio.Future[Any]] = [ready, *tasks]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            stop.set()
            await asyncio.gather(*tasks)
        yield await ready
    finally:
        stop.set()
        async with asyncio.timeout(60):  # it ends, however busy the machine
            await asyncio.gather(*tasks)


@asynccontextmanager
async def client(url: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a screen: it keeps cookies and follows nothing."""
    # A connection of its own for each request: the server closes idle ones, at times just as one
    # is used again, and then browsers ask once more.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, trust_env=False, limits=limits, timeout=60, verify=False
    ) as http:
        yield http


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A real browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@dataclass
class Seen:
    """What a tab asked for, and what it complained about."""

    #: addresses of all requests
    asked: list[str] = field(default_factory=list)
    #: errors on the console
    complaints: list[str] = field(default_factory=list)

    def request(self, request: Request) -> None:
        self.asked.append(request.url)

    def console(self, said: ConsoleMessage) -> None:
        # Gradio's browser side says so of a stream that it closes before the server has answered.
        if said.type == "error" and not said.text.startswith("AbortError: signal is aborted"):
            self.complaints.append(said.text)


#: For a tab: what the server streams comes this many milliseconds late, answers to requests do not.
LATE = """(() => {
  const plain = window.fetch;
  const late = () =>
    new TransformStream({
      async transform(chunk, out) {
        await new Promise((resolve) => setTimeout(resolve, %d));
        out.enqueue(chunk);
      },
    });
  window.fetch = async (what, how) => {
    const answer = await plain(what, how);
    if (!/queue.data/.test(what.url ?? what)) return answer;
    return new Response(answer.body.pipeThrough(late()), answer);
  };
})();"""


@asynccontextmanager
async def tab(
    browser: Browser, url: str, seen: Seen | None = None, *, late: int = 0, **options: Any
) -> AsyncIterator[Page]:
    """A page of a visitor nobody has seen, as soon as it is there; `late`: see `LATE`."""
    seen = seen or Seen()
    context = await browser.new_context(**{"locale": "en-GB", **options})
    page = await context.new_page()
    page.on("request", seen.request)
    page.on("console", seen.console)
    if late:
        await page.add_init_script(LATE % late)
    await page.goto(url)
    await page.wait_for_selector("#fc-box textarea")
    yield page
    await context.close()


def dish(seed: int = 0, size: tuple[int, int] = (640, 480)) -> bytes:
    """A picture of something round on a plate; every seed's is another."""
    draw = random.Random(seed)
    image = Image.new("RGB", size, (205, 186, 160))
    pen = ImageDraw.Draw(image)
    pen.ellipse((120, 40, 520, 440), fill="white")
    for _ in range(40):
        x, y = draw.randint(180, 440), draw.randint(100, 360)
        pen.ellipse(
            (x, y, x + 30, y + 30), fill=(draw.randint(120, 240), draw.randint(40, 160), 40)
        )
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def pieces(text: str, size: int = 6) -> Iterator[str]:
    """A text as a model streams it."""
    return (text[start : start + size] for start in range(0, len(text), size))
