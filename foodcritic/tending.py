"""A worker on a GPU, kept alive; one that dies while it loads its model ends up on the CPU.

```
 start ─▶ loads ─▶ answers ─▶ dies ─▶ start
            └ dies, three times in a row ─▶ start with `instead`
```

A card that has no room, or a driver that does not fit, may end the process in native code, where no
fallback inside it can help. What answers with the bundled model is better than what never answers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from foodcritic import supervise

#: Deaths in a row before the model was loaded, after which another start is no use.
TRIES: Final = 3
#: The settings of a worker that needs no GPU.
NANO: Final = {"FOODCRITIC_ENGINE": "openvino", "FOODCRITIC_MODEL": "", "FOODCRITIC_MEME_MODEL": ""}

log = structlog.get_logger(__name__)


async def tend(
    command: Sequence[str],
    stop: asyncio.Event,
    *,
    died: Callable[[int], Awaitable[None]],
    instead: Mapping[str, str],
    first_wait: float = supervise.FIRST_WAIT,
) -> None:
    """Keep a worker running until `stop`; `died` as `supervise.keep` tells it.

    `instead` is added to its environment once it could not load its model; {}: it tries for ever.
    """
    told, answered, failures = dict[str, str](), False, 0

    def ready() -> None:
        nonlocal answered
        answered = True

    async def ended(pid: int) -> None:
        nonlocal answered, failures
        answered, failures = False, 0 if answered else failures + 1
        if failures >= TRIES and instead and not told:
            log.error("engine.fallback", engine="nano", reason=f"it died {TRIES} times loading")
            told.update(instead)
        await died(pid)

    await supervise.keep(
        "worker", command, stop, died=ended, ready=ready, env=told, first_wait=first_wait
    )
