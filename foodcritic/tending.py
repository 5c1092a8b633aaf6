"""A worker on a GPU, kept alive; one that dies while it loads its model is asked for less.

```
 start ─▶ loads ─▶ answers ─▶ dies ─▶ start
            └ dies, or hangs and is killed, three times in a row
                  ─▶ start with the next `instead`: in 16 bits, then nano
```

A card that has no room, or a driver that does not fit, may end the process in native code, where no
fallback inside it can help. What answers with the bundled model is better than what never answers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from foodcritic import supervise
from foodcritic.settings import Settings

#: Deaths in a row before the model was loaded, after which another start is no use.
TRIES: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Instead:
    """A worker that is asked for less."""

    name: str
    #: The settings that it is started with.
    env: Mapping[str, str]


#: The model as it is, where 8 bits may be what it dies of.
SIXTEEN: Final = Instead(name="16 bits", env={"FOODCRITIC_WEIGHT_BITS": "16"})
#: The bundled model, which needs no GPU.
NANO: Final = Instead(
    name="nano",
    env={"FOODCRITIC_ENGINE": "openvino", "FOODCRITIC_MODEL": "", "FOODCRITIC_MEME_MODEL": ""},
)

log = structlog.get_logger(__name__)


def ways(settings: Settings) -> tuple[Instead, ...]:
    """What a worker that cannot load its model may do instead, by the settings."""
    eight, auto = settings.weight_bits == 8, settings.engine == "auto"
    return (SIXTEEN,) * eight + (NANO,) * auto


async def tend(
    command: Sequence[str],
    stop: asyncio.Event,
    *,
    died: Callable[[int], Awaitable[None]],
    instead: Sequence[Instead],
    fell: Callable[[Instead, str], None] = lambda to, why: None,
    stuck: float = supervise.STUCK,
    first_wait: float = supervise.FIRST_WAIT,
) -> None:
    """Keep a worker running until `stop`; `died` as `supervise.keep` tells it.

    Each `instead` is gone over to once it could not load its model, and `fell` told so, and why;
    at the end of them it tries for ever.
    """
    told, answered, failures, left = dict[str, str](), False, 0, list(instead)

    def ready() -> None:
        nonlocal answered
        answered = True

    async def ended(pid: int) -> None:
        nonlocal answered, failures
        answered, failures = False, 0 if answered else failures + 1
        if failures >= TRIES and left:
            to, failures, reason = left.pop(0), 0, f"it died {TRIES} times loading"
            log.error("engine.fallback", engine=to.name, reason=reason)
            told.update(to.env)
            fell(to, reason)
        await died(pid)

    await supervise.keep(
        "worker",
        command,
        stop,
        died=ended,
        ready=ready,
        env=told,
        stuck=stuck,
        first_wait=first_wait,
    )
