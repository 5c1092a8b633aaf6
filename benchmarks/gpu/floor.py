"""The physical floor: the bytes and operations an answer needs, at the card's measured rates.

    python -m benchmarks.gpu.floor          measures this card's rates and prints them as JSON

A request reads its tiles (vision encoder), its prompt (language model), then writes. Reading is
bound by arithmetic. Every step of writing reads the language model's weights once for all users and
each user's keys and values. Nothing overlaps in the floor, and nothing is lost between kernels.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.shapes import Shape

#: Bytes of a weight, a key or a value: bfloat16.
WIDE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What one card does at most."""

    #: Bytes a second, read and written.
    bandwidth: float
    #: Operations a second in bfloat16.
    rate: float


def seconds(shape: Shape, card: Card, *, tiles: int, prompt: int, new: int, users: int) -> float:
    """Seconds of the card that one request needs, with so many users at once."""
    reading = (_vision(shape) * tiles + _language(shape, prompt)) / card.rate
    weights = WIDE * (_parameters(shape) + shape.vocabulary * shape.hidden)
    head = shape.hidden // shape.heads
    kept = 2 * shape.layers * shape.kv_heads * head * WIDE
    step = (weights / users + kept * (prompt + new / 2)) / card.bandwidth
    work = 2 * (_parameters(shape) + shape.vocabulary * shape.hidden) / card.rate
    return reading + new * max(step, work)


def _vision(shape: Shape) -> float:
    """Operations to encode one tile and project it."""
    places = shape.places
    layer = 2 * places * (4 * shape.vision**2 + 2 * shape.vision * shape.vision_inner)
    layer += 4 * places**2 * shape.vision
    tokens = (places - 1) // 4
    project = 2 * tokens * (4 * shape.vision * shape.hidden + shape.hidden**2)
    return shape.vision_layers * layer + project


def _language(shape: Shape, prompt: int) -> float:
    """Operations to read a prompt; attention is causal."""
    return 2 * prompt * _parameters(shape) + shape.layers * 2 * prompt**2 * shape.hidden


def _parameters(shape: Shape) -> float:
    """Of the language model's layers."""
    head = shape.hidden // shape.heads
    attention = shape.hidden * head * (2 * shape.heads + 2 * shape.kv_heads)
    return shape.layers * (attention + 3 * shape.hidden * shape.inner)


def measure() -> dict[str, Any]:
    """This card's rates: the mean of ten after three."""
    import torch

    side = 8192
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(2**32, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    return {
        "card": torch.cuda.get_device_name(),
        "bandwidth": 2 * source.numel() / _timed(torch, lambda: target.copy_(source)),
        "rate": 2 * side**3 / _timed(torch, lambda: a @ b),
    }


def _timed(torch: Any, work: Any) -> float:
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(10):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / 10


def main() -> None:
    print(json.dumps(measure()))  # noqa: T201


if __name__ == "__main__":
    main()
