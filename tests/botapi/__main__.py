"""Serve the Bot API emulator alone: `python -m tests.botapi [PORT]`."""

import argparse
import asyncio
import contextlib
import sys

from tests.botapi.server import serving
from tests.botapi.world import World


async def main(port: int) -> None:
    world = World()
    async with serving(world, port) as address:
        sys.stdout.write(
            f"Start the bot:  FOODCRITIC_TELEGRAM_API={address} TELEGRAM_BOT_TOKEN={world.token} "
            ".venv/bin/foodcritic up\n"
            f"Say something:  curl {address}/world/say -F user=1 -F text=/start\n"
            f"Send a photo:   curl {address}/world/say -F user=1 -F file=@samples/pizza.jpg\n"
            f"Tap a button:   curl {address}/world/say -F user=1 -F tap=👍\n"
            f"See it all:     curl {address}/world\n"
        )
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the Bot API emulator alone.")
    parser.add_argument("port", type=int, nargs="?", default=8081)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args().port))
