"""The private chat's flows on an emulator that other people wrote: it knows nothing of our bot.

Telemelya has no drafts (the status message grows instead), no long polling and no groups.
"""

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from telemelya.client import TelegramTestClient

from bot import app, webhook
from bot.budget import Limits
from engine import worker
from foodcritic import db as database
from foodcritic import settings
from tests.botbench import FAST, ROOM, Model, migrated, picture
from tests.ports import free_port

TOKEN = "1000:test-token"
ANN = 42
Json = dict[str, Any]


@dataclass(slots=True)
class Chat:
    """Ann's private chat, through Telemelya's own client."""

    client: TelegramTestClient
    folder: Path

    async def does(self, call: Callable[..., Any], *values: Any) -> Any:
        return await asyncio.to_thread(call, *values)

    async def says(self, text: str) -> None:
        send = self.client.send_command if text.startswith("/") else self.client.send_message
        await self.does(send, ANN, text)

    async def shows(self, seed: int, caption: str | None = None) -> None:
        path = self.folder / f"{seed}.jpg"
        path.write_bytes(picture(seed))
        await self.does(self.client.send_photo, ANN, str(path), caption)

    async def taps(self, label: str, message: Json) -> None:
        rows = message["reply_markup"]["inline_keyboard"]
        data = next(b["callback_data"] for row in rows for b in row if label in b["text"])
        await self.does(self.client.send_callback_query, ANN, data, message["message_id"])

    async def calls(self) -> list[Json]:
        """What the bot has called, oldest first."""
        found: list[Json] = await self.does(self.client.get_responses)
        return found

    async def sees(self, told: Callable[[Json], bool], patience: float = 60.0) -> Json:
        """The newest call that `told` is true of."""
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            calls = await self.calls()
            if found := [call for call in calls if told(call)]:
                return found[-1]
            assert asyncio.get_running_loop().time() < deadline, calls
            await asyncio.sleep(0.1)


def holds(text: str, *, button: str = "") -> Callable[[Json], bool]:
    """Whether a call says `text` and, if asked, offers `button`."""

    def told(call: Json) -> bool:
        said = str(call.get("text") or call.get("caption") or "")
        return text in said and button in str(call.get("reply_markup") or "")

    return told


@contextlib.asynccontextmanager
async def emulator(folder: Path, hook: int, secret: str) -> AsyncIterator[tuple[str, str]]:
    """Telemelya in a process of its own: its address, and the one it should post updates to."""
    ports = [free_port() for _ in range(4)]
    target = f"http://127.0.0.1:{hook}/hook"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.telemelya", *map(str, ports), target, secret),
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{ports[0]}"
    try:
        headers = {"Authorization": "Bearer any"}
        async with httpx.AsyncClient(headers=headers, timeout=60) as client:
            for _ in range(600):
                assert process.returncode is None, "telemelya did not start"
                with contextlib.suppress(httpx.TransportError):
                    health = await client.get(f"{address}/api/v1/test/health")
                    if health.json()["ok"]:
                        break
                await asyncio.sleep(0.1)
        yield address, f"http://127.0.0.1:{ports[3]}/"
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    """Telemelya, the bot, a worker with a scripted model, and Ann."""
    hook = free_port()
    values: Json = {"telegram_bot_token": TOKEN, "webhook_port": hook, "concurrency": 1, **ROOM}
    secret = webhook.secret_of(settings.load(home=tmp_path, **values))
    async with emulator(tmp_path, hook, secret) as (address, relayed):
        config = settings.load(
            home=tmp_path, telegram_api=address, webhook_url=relayed, language="en", **values
        )
        await migrated(config)
        db, stop = await database.connect(config), asyncio.Event()
        pace = app.Pace(limits=Limits().scaled(FAST), scale=FAST)
        model = Model(answer=lambda asked: f"**Ramen** · 8/10 · {asked.question or 'whole'}")
        parts = [
            asyncio.create_task(app.run(config, db, stop, pace=pace)),
            asyncio.create_task(worker.run(db, model, config, stop)),
        ]
        client = TelegramTestClient(address, "any", TOKEN)
        try:
            for _ in range(1200):
                if await asyncio.to_thread(_hook, address) == relayed:
                    break
                await asyncio.sleep(0.05)
            yield Chat(client, tmp_path)
        finally:
            client.close()
            stop.set()
            await asyncio.gather(*parts)
            await db.close()


def _hook(address: str) -> str:
    """Where updates are posted to; "" until the bot has said."""
    reply = httpx.post(f"{address}/bot{TOKEN}/getWebhookInfo", timeout=60).json()
    return str(reply["result"]["url"])


async def test_text_photo_buttons_and_edits_on_an_emulator_that_is_not_ours(chat: Chat) -> None:
    await chat.says("/start")
    await chat.sees(holds("I am a food critic"))
    await chat.says("Is it healthy?")
    await chat.sees(holds("Send me a photo of a dish first"))

    await chat.shows(1)
    answer = await chat.sees(holds("Ramen · 8/10 · whole", button="again:"))
    assert answer["method"] == "editMessageText"
    status = [call for call in await chat.calls() if call.get("message_id") == answer["message_id"]]
    assert "Looking" in status[0]["text"]  # the status message has become the answer

    await chat.says("And healthy?")
    await chat.sees(holds("8/10 · And healthy?", button="again:"))
    await chat.shows(2, "What is it?")
    await chat.sees(holds("8/10 · What is it?", button="again:"))

    await chat.taps("Try again", answer)
    await chat.sees(lambda call: call.get("text") == "Once more…")
    sends = [c for c in await chat.calls() if c["method"] == "sendMessage"]
    assert len({c["message_id"] for c in sends}) == len(sends)
    for _ in range(600):
        whole = [c for c in await chat.calls() if holds("· whole", button="again:")(c)]
        if len({c["message_id"] for c in whole}) == 2:
            break
        await asyncio.sleep(0.1)
    assert len(whole) == 2

    await chat.taps("Score card", answer)
    card = await chat.sees(lambda call: call["method"] == "sendPhoto")
    data = await chat.does(chat.client.get_media, card["file_id"])
    assert Image.open(io.BytesIO(data)).size == (1080, 1350)

    await chat.says("/language")
    choice = await chat.sees(holds("Which language", button="lang:zh"))
    await chat.taps("中文", choice)
    await chat.sees(holds("我说中文"))
