"""What a photo's time on the GPU is spent on: its tiles, its tokens, its answer, and which kernels.

    python -m benchmarks.gpu.shares MODEL PHOTOS OUT.json [--plan JSON] [--photos-each 64]

Under load (32 at a time), all different, nothing cached:
    photo   13 tiles and their prompt, one word     reading as a whole
    tokens  as many tokens without a photo, one word     the language model's part of reading
    answer  photo, 128 words     and writing
The vision encoder's part is the difference of the first two, writing that of the last and the
first. Kernels are timed by torch's profiler, which sees the whole process, TurboMind's too.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu import photos, systems
from engine import Generation, Message
from engine.runner import Prompt

AT_ONCE = 32
#: The kernels that are listed.
MOST = 25


async def rate(asked: list[Prompt], most: int, stream: Callable[..., AsyncIterator[Any]]) -> float:
    """Seconds that each prompt takes, many at once."""
    left = list(asked)

    async def one() -> None:
        while left:
            how = Generation(greedy=True, max_new_tokens=most)
            async with aclosing(stream(left.pop(), how, frozenset[int]())) as steps:
                async for _ in steps:
                    pass

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return (time.perf_counter() - started) / len(asked)


async def measure(given: Any) -> dict[str, Any]:
    import torch
    from torch.profiler import ProfilerActivity, profile

    ours = systems.Ours(given.model, json.loads(given.plan))
    await ours.open()
    album, count = photos.Album(given.photos), given.photos_each
    dice = np.random.default_rng(0)

    async def shown(many: int) -> list[Prompt]:
        asked = [
            ours.engine.prompt([Message(role="user", text=systems.QUESTION, images=(photo,))])
            for photo in album.take("photo", many)
        ]
        return list(await asyncio.gather(*asked))

    def words(many: int, length: int) -> list[Prompt]:
        return [Prompt(ids=dice.integers(100, 1400, length).tolist()) for _ in range(many)]

    stream = ours.runner.stream
    await rate(await shown(8), 8, stream)
    first = await shown(count)
    length = len(first[0].ids)
    found: dict[str, Any] = {"tokens": length, "photos": count, "plan": given.plan}
    found["photo"] = await rate(first, 1, stream)
    found["text"] = await rate(words(count, length), 1, stream)
    found["answer"] = await rate(await shown(count), systems.NEW, stream)
    found["vision"] = found["photo"] - found["text"]
    found["writing"] = found["answer"] - found["photo"]
    few = await shown(max(8, count // 4))
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        found["profiled"] = await rate(few, systems.NEW, stream)
        torch.cuda.synchronize()
    kernels: Counter[str] = Counter()
    for event in seen.key_averages():
        spent = getattr(event, "self_device_time_total", 0) / 1e6 / len(few)
        kernels[event.key[:160]] += spent
    found["kernels"] = {name: round(spent, 7) for name, spent in kernels.most_common(MOST)}
    found["kernels_together"] = sum(kernels.values())
    await ours.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--plan", default="{}")
    parser.add_argument("--photos-each", type=int, default=64)
    given = parser.parse_args()
    found = asyncio.run(measure(given))
    given.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
