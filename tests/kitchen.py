"""Bot and worker as processes that a test may kill -9.

`python -m tests.kitchen HOME API LEASE LIMITS WAITS`: imports take seconds, so they are done once;
this process reads `bot` or `worker` from its input, forks a child that is exactly that, and
prints the child's pid.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from bot import app
from bot.budget import Limits
from engine import worker
from foodcritic import db as database
from foodcritic import lease, queue, settings
from tests.botapi.script import Telegram
from tests.botapi.world import World
from tests.botbench import Asked, Model, configured

#: What the scripted model says: long enough to be streamed, with a mark at its end.
END = "That was all."


def answer(asked: Asked) -> str:
    return f"**Ramen** · 8/10 · {asked.question}\n\n" + "Rich broth. " * 10 + END


async def serve(role: str, config: settings.Settings, pace: app.Pace) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    db = await database.connect(config)
    try:
        if role == "bot":
            await app.run(config, db, stop, pace=pace)
        else:
            model = Model(answer=answer, pieces=6, pause=0.05, continues=True)
            await worker.run(db, model, config, stop)
    finally:
        await db.close()


def main(home: str, address: str, seconds: float, limits: float, waits: float) -> None:
    # A dead worker's job waits for its lease: a minute is too long for a test.
    lease.LEASE = timedelta(seconds=seconds)  # type: ignore[misc]
    worker.RENEW_EVERY = seconds / 4  # type: ignore[misc]
    assert queue.LEASE.total_seconds() == 60, "the queue renews by foodcritic.lease's"
    config = configured(Path(home), Telegram(World(), address), concurrency=4)
    pace = app.Pace(limits=Limits().scaled(limits), scale=waits)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with Path(home, f"{line.strip()}.log").open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            asyncio.run(serve(line.strip(), config, pace))
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(float(value) for value in sys.argv[3:6]))
