"""A runner that stands in for LMDeploy: the real nano model, on OpenVINO, under the same interface.

It undoes the normalisation by table, so what reaches the model is what the GPU engine prepared.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine import Generation, prepare, sampling
from engine.openvino import OpenVINO
from engine.runner import Prompt, Scored

TOP = 20


@dataclass
class Local:
    """Answers with an OpenVINO engine's model; remembers what it was asked."""

    nano: OpenVINO
    session_len: int = 2048
    concurrency: int = 4
    asked: list[Prompt] = field(default_factory=list)
    scored: list[Prompt] = field(default_factory=list)
    stopped: int = 0

    async def stream(
        self, prompt: Prompt, generation: Generation, ends: frozenset[int]
    ) -> AsyncGenerator[list[int], None]:
        self.asked.append(prompt)
        choose = sampling.chooser(generation)
        session = self.nano._sessions.get()
        try:
            logits = session.start(self.vectors(prompt)[None])
            for _ in range(generation.max_new_tokens):
                token = choose(logits[0])
                yield [token]
                if token in ends:
                    return
                await asyncio.sleep(0)
                logits = session.step(self.nano._words([token])[:, None])
        finally:
            self.stopped += 1
            self.nano._sessions.put(session)

    async def score(self, prompt: Prompt, ends: frozenset[int], most: int) -> Scored:
        self.scored.append(prompt)
        session = self.nano._sessions.get()
        ids, tops = list[int](), list[dict[int, float]]()
        logits = session.start(self.vectors(prompt)[None])
        for _ in range(most):
            odds = sampling.log_softmax(logits)[0]
            best = np.argsort(-odds)[:TOP]
            tops.append({int(i): float(odds[i]) for i in best})
            ids.append(int(best[0]))
            if ids[-1] in ends:
                break
            logits = session.step(self.nano._words(ids[-1:])[:, None])
        self.nano._sessions.put(session)
        return Scored(ids=ids, tops=tops)

    def vectors(self, prompt: Prompt) -> Any:
        """The prompt as the language model reads it, its pictures looked at."""
        vectors = self.nano._words(prompt.ids)
        shape = self.nano._shape
        table = prepare.table(shape.mean, shape.std)
        for picture, (start, length) in zip(prompt.pictures, prompt.places, strict=True):
            tiles = np.stack(
                [np.searchsorted(_order(table[c]), _order(picture.pixels[:, c])) for c in range(3)],
                -1,
            )
            seen = self.nano._eyes._encode(tiles.astype(np.uint8))
            vectors[start : start + length] = seen.reshape(-1, seen.shape[-1])
        return vectors

    async def close(self) -> None:
        await self.nano.close()


def _order(bits: Any) -> Any:
    """Bits of bfloat16 as numbers that ascend as the floats do."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
