"""The GPU engine: chat template, photos, tile budget and names around a `Runner`.

```
 messages ─▶ template ─▶ ids ─┐
 photos ─▶ `prepare` ─▶ tiles ┴▶ runner (`engine.lmdeploy`) ─▶ ids ─▶ text, piece by piece
              ▲                        │
            `budget`: 12, 6, 4 or 1 ◀──┘ seconds to the first word
```

A photo keeps the budget it was first looked at with, so that the naming pass, the critique and
every follow-up begin with the same tokens, which the engine's prefix cache then knows.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import Generation, Message, Picture, PromptTooLong, folder, names, text
from engine.budget import AT_ONCE, Budget
from engine.prepare import Dtype, Prepared, Preparer
from engine.runner import Prompt, Runner, Scored
from foodcritic.errors import EngineError, ModelError

#: Room for an answer that a prompt must leave, in tokens.
ROOM = 32


class GPU(folder.Described):
    """An `Engine` over a loaded runner and the folder of its model.

    Raises:
        ModelError: the folder is incomplete or no InternVL2.
    """

    def __init__(
        self,
        runner: Runner,
        path: Path,
        *,
        name: str,
        tokenizer: text.Tokenizer,
        max_tiles: int = 12,
        first_word: float | None = None,
        at_once: int = AT_ONCE,
        dtype: Dtype = "bfloat16",
    ) -> None:
        self._runner, self._name = runner, name
        self._template, self._tokenizer = text.Template(path), tokenizer
        self._shape = folder.shape(path, tokenizer)
        self._photos = Preparer(self._shape, dtype=dtype)
        self._budget = Budget(min(max_tiles, self._shape.tiles), first_word, at_once)

    @property
    def context(self) -> int:
        return min(self._shape.context, self._runner.session_len)

    def photo_tokens(self, photos: int) -> int:
        return self._shape.photo_tokens(photos, self._budget.most)

    @property
    def concurrency(self) -> int:
        """Answers at once that it does well."""
        return self._runner.concurrency

    @property
    def exclusive(self) -> bool:
        """Whether the machine has no room for a second model beside it."""
        return bool(getattr(self._runner, "exclusive", False))

    async def stream(
        self, messages: Sequence[Message], generation: Generation
    ) -> AsyncGenerator[str, None]:
        started = time.monotonic()
        prompt = await self.prompt(messages)
        most = min(generation.max_new_tokens, self.context - len(prompt.ids))
        decoding = self._tokenizer.stream()
        async with self._budget.reading(prompt.fresh) as reading:
            how = replace(generation, max_new_tokens=most)
            async with aclosing(self._runner.stream(prompt, how, self._shape.ends)) as steps:
                async for ids in steps:
                    reading.first(time.monotonic() - started)
                    piece = "".join(
                        decoding.push(id_) for id_ in ids if id_ not in self._shape.ends
                    )
                    if piece:
                        yield piece

    async def candidates(
        self, messages: Sequence[Message], count: int = 3
    ) -> tuple[tuple[str, float], ...]:
        started = time.monotonic()
        prompt = await self.prompt(messages)
        async with self._budget.reading(prompt.fresh) as reading:

            async def score(begun: list[int], most: int) -> Scored:
                asked = replace(prompt, ids=[*prompt.ids, *begun])
                scored = await self._runner.score(asked, self._shape.ends, most)
                reading.first(time.monotonic() - started)
                return scored

            found = await names.likeliest(
                score, self._shape.ends, temperature=self._shape.temperature
            )
        odds: dict[str, float] = {}
        for ids, probability in found:
            if said := self._tokenizer.decode(ids).strip():
                odds[said] = odds.get(said, 0.0) + probability
        return tuple(sorted(odds.items(), key=lambda pair: -pair[1])[:count])

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text))

    async def tiles(self, photos: Sequence[Picture]) -> int | None:
        """The most tiles that each of these photos was cut into; None if not remembered."""
        _, digest = await self._photos.read(photos[0])
        return self._photos.remembered(digest, min(len(photos), self.photos_per_question))

    async def embed(self, photo: Picture) -> NDArray[np.float32] | None:
        return None  # LMDeploy keeps what its vision encoder sees to itself

    async def close(self) -> None:
        self._photos.close()
        await self._runner.close()

    async def prompt(self, messages: Sequence[Message]) -> Prompt:
        """The messages as the runner takes them.

        Raises:
            EngineError: too many photos.
            PromptTooLong: it leaves no room for an answer.
            PhotoError: a photo cannot be read.
        """
        if any(len(m.images) > self.photos_per_question for m in messages):
            raise EngineError(
                f"{self.model} looks at {self.photos_per_question} photo(s) at a time"
            )
        pictures = [await self._prepared(m.images) for m in messages]
        counts = [[len(p.pixels) * self._shape.tokens for p, _ in of_one] for of_one in pictures]
        ids = self._tokenizer.encode(self._template.render(messages, counts))
        if len(ids) + ROOM > self.context:
            raise PromptTooLong(self.model, len(ids), self.context - ROOM)
        shown = [picture for of_one in pictures for picture in of_one]
        return Prompt(
            ids=ids,
            pictures=tuple(picture for picture, _ in shown),
            places=self._places(ids, [count for of_one in counts for count in of_one]),
            fresh=sum(len(picture.pixels) for picture, known in shown if not known),
        )

    async def _prepared(self, images: Sequence[Picture]) -> list[tuple[Prepared, bool]]:
        """Each photo, and whether it was looked at before; an album shares the budget."""
        if not images:
            return []
        read = await asyncio.gather(*(self._photos.read(image) for image in images))
        share = max(1, self._budget.choose() // len(images))
        known = [self._photos.remembered(digest, len(images)) for _, digest in read]
        made = await asyncio.gather(
            *(
                self._photos.prepare(picture, digest, budget or share, len(images))
                for (picture, digest), budget in zip(read, known, strict=True)
            )
        )
        return [(p, budget is not None) for p, budget in zip(made, known, strict=True)]

    def _places(self, ids: list[int], lengths: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Where the pictures' tokens stand: they come in runs, between marks of their own."""
        places, at = [], 0
        try:
            for length in lengths:
                start = ids.index(self._shape.picture, at)
                at = start + length
                if set(ids[start:at]) != {self._shape.picture}:
                    raise ValueError("a run is too short")
                places.append((start, length))
        except ValueError as error:
            reason = f"{self.model}: its tokenizer does not keep {text.CONTEXT} whole"
            raise ModelError(reason) from error
        return tuple(places)
