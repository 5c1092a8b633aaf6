"""Choosing tokens from logits, in numpy."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import Generation

Floats = NDArray[np.floating[Any]]


def chooser(generation: Generation) -> Callable[[Floats], int]:
    """A function from one position's logits (vocabulary) to the next token's id.

    Top-k first, then top-p among those, as transformers and LMDeploy do.
    """
    if generation.greedy:
        return lambda logits: int(logits.argmax())
    random = np.random.default_rng(generation.seed)

    def choose(logits: Floats) -> int:
        k = min(generation.top_k, len(logits))
        ids = np.argpartition(logits, -k)[-k:]
        ids = ids[np.argsort(-logits[ids], kind="stable")]
        scaled = logits[ids].astype(np.float64) / generation.temperature
        odds = np.exp(scaled - scaled[0]).cumsum()
        # The smallest head that reaches top_p, at least one token.
        head = int(np.searchsorted(odds, generation.top_p * odds[-1])) + 1
        head = min(head, len(odds))
        drawn = np.searchsorted(odds[:head], random.random() * odds[head - 1], side="right")
        return int(ids[min(int(drawn), head - 1)])

    return choose


def log_softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Logarithms of the probabilities, over the last axis."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(-1, keepdims=True)
    scaled -= np.log(np.exp(scaled).sum(-1, keepdims=True))
    return scaled


def likeliest(logits: Any, count: int) -> list[Any]:
    """The `count` likeliest tokens of each position (positions, vocabulary): logarithms by id."""
    odds = log_softmax(logits)
    best = np.argpartition(-odds, count, axis=-1)[:, :count]
    return [
        dict(zip(ids.tolist(), row[ids].tolist(), strict=True))
        for ids, row in zip(best, odds, strict=True)
    ]
