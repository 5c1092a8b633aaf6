"""Serve the Bot API emulator alone: `python -m tests.botapi [PORT]`."""

import asyncio
import contextlib
import sys

from tests.botapi.server import serving
from tests.botapi.world import World


async def main(port: int) -> None:
    world = World()
    async with serving(world, port) as address:
        sys.stdout.write(
            f"Bot API at {address}/bot, files at {address}/file/bot, token {world.token}\n"
        )
        sys.stdout.write(f"Say something: curl {address}/world/say -d user=1 -d text=/start\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8081))
