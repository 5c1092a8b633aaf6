"""An engine whose answers a test writes: for what is asked of engines, not for what they say."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from engine import Generation, Message

Names = tuple[tuple[str, float], ...]


@dataclass
class Scripted:
    """Says what it is told to, and remembers what it was asked."""

    pieces: Sequence[str] = ("**Ramen** (日式拉面) · Japanese", " · 8/10", "\n\nGood.")
    names: Names = (("Ramen", 0.8), ("Pho", 0.1))
    error: Exception | None = None
    pause: float = 0.0
    asked: list[Sequence[Message]] = field(default_factory=list)
    named: list[Sequence[Message]] = field(default_factory=list)
    closed: int = 0
    #: Answers being written now, and the most at any time.
    writing: int = 0
    most_writing: int = 0
    model: str = "scripted"
    context: int = 2048
    photos_per_question: int = 1
    turns: int = 40
    unsure_below: float = 0.4
    #: Whether it goes on from a beginning that the critic gives it.
    continues: bool = False

    async def stream(
        self, messages: Sequence[Message], generation: Generation
    ) -> AsyncGenerator[str, None]:
        self.asked.append(messages)
        self.writing += 1
        self.most_writing = max(self.most_writing, self.writing)
        try:
            for piece in self.pieces:
                await asyncio.sleep(self.pause)
                yield piece
            if self.error:
                raise self.error
        finally:
            self.writing -= 1
            self.closed += 1

    async def candidates(self, messages: Sequence[Message], count: int = 3) -> Names:
        self.named.append(messages)
        return self.names

    def photo_tokens(self, photos: int) -> int:
        return 64 * photos

    def count(self, text: str) -> int:
        return len(text.split())

    async def embed(self, photo: object) -> None:
        return None

    async def close(self) -> None: ...
