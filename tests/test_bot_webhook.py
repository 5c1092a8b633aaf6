"""Webhook delivery: committed before the 200, and only Telegram may knock."""

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot import webhook
from foodcritic.errors import SettingsError
from tests.botapi.script import telegram
from tests.botbench import configured, picture, restaurant
from tests.ports import free_port


def address_of(port: int) -> dict[str, Any]:
    return {"webhook_url": f"http://127.0.0.1:{port}/hook", "webhook_port": port}


async def test_a_photo_comes_in_by_webhook(tmp_path: Path) -> None:
    values = address_of(free_port())
    async with restaurant(tmp_path, **values) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture())
        await ann.sees("Ramen")
        await place.settled()
        assert not place.tg.world.updates


async def test_who_does_not_know_the_secret_is_refused(tmp_path: Path) -> None:
    values = address_of(free_port())
    async with restaurant(tmp_path, **values) as place, httpx.AsyncClient(timeout=60) as client:
        url = values["webhook_url"]
        good = {"X-Telegram-Bot-Api-Secret-Token": webhook.secret_of(place.settings)}
        for headers, body, status in (
            ({}, '{"update_id": 1}', 403),
            ({"X-Telegram-Bot-Api-Secret-Token": "guess"}, '{"update_id": 1}', 403),
            (good, "no json", 400),
            (good, "[]", 400),
            (good, '{"update_id": "x"}', 400),
            (good, '{"update_id": 9223372036854775808}', 400),
            (good, '{"update_id": 1, "message": ' + "[" * 100_000 + "]" * 100_000 + "}", 400),
            (good, '{"update_id": 1, "pad": "' + "x" * 1_000_000 + '"}', 413),
            (good, '{"update_id": 99}', 200),
        ):
            reply = await client.post(url, content=body, headers=headers)
            assert reply.status_code == status, body[:40]
        assert (await client.get(url)).status_code == 405


async def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        values = address_of(port)
        with pytest.raises(SettingsError, match="FOODCRITIC_WEBHOOK_PORT"):
            async with restaurant(tmp_path, **values):
                pass


async def test_the_secret_is_made_of_the_token_unless_one_is_set(tmp_path: Path) -> None:
    async with telegram() as tg:
        made = webhook.secret_of(configured(tmp_path, tg))
        assert len(made) == 64
        assert tg.world.token not in made
        assert webhook.secret_of(configured(tmp_path, tg, webhook_secret="mine")) == "mine"


async def test_an_address_that_telegram_refuses_is_a_clear_error(tmp_path: Path) -> None:
    values: dict[str, Any] = {"webhook_url": "http://bot.example.org/hook", "webhook_port": 0}
    refused = r"refuses FOODCRITIC_WEBHOOK_URL=http://bot\.example\.org/hook: .*must be provided"
    with pytest.raises(SettingsError, match=refused):
        async with restaurant(tmp_path, **values):
            pass
