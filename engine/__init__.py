"""The engines: photos and messages in, streamed text out, whatever runs the model.

```
 load(settings) ─▶ openvino   in this process, CPU, the shipped nano or any InternVL2 IR folder
                ├▶ lmdeploy   in this process, GPU
                └▶ openai     over HTTP: lmdeploy's api_server, its proxy, or any such server
```
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foodcritic.errors import EngineError

#: A photo as an engine takes it: a file, its bytes, or decoded to RGB.
Picture: TypeAlias = Path | bytes | Image.Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    text: str
    #: Shown to the model before the text.
    images: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """How to choose the next token; the defaults are the tutorial's."""

    max_new_tokens: int = 512
    temperature: float = 0.8
    #: Sample from the smallest set of tokens whose probabilities add up to this.
    top_p: float = 0.8
    top_k: int = 40
    #: Always the likeliest token; the three settings above are then ignored.
    greedy: bool = False
    #: Makes a sampled answer repeatable; None draws a fresh one.
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, ok, range_ in (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", 0 < self.temperature <= 5, "above 0 and at most 5"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", self.top_k >= 1, "at least 1"),
        ):
            if not ok:
                raise EngineError(f"{name} is {getattr(self, name)}: it must be {range_}")


class Engine(Protocol):
    """What every engine does. Any number of answers may stream at once."""

    @property
    def model(self) -> str:
        """The model's name, as shown to people and kept with answers."""

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may take together."""

    @property
    def photos_per_question(self) -> int:
        """How many photos one prompt may hold."""

    def stream(
        self, messages: Sequence[Message], generation: Generation
    ) -> AsyncGenerator[str, None]:
        """The answer, piece by piece; closing the generator stops the model.

        Raises:
            EngineError: the prompt does not fit, holds too many photos, or the engine failed.
            PhotoError: a photo cannot be read.
        """

    async def candidates(
        self, messages: Sequence[Message], count: int = 3
    ) -> tuple[tuple[str, float], ...]:
        """The likeliest short answers with their probabilities (they need not add up to 1).

        Likeliest first; () from an engine that gives no likelihoods.
        """

    async def embed(self, photo: Picture) -> NDArray[np.float32] | None:
        """The vision encoder's vector of unit length, (size,); None where there is none."""

    async def close(self) -> None:
        """Free the model; answers still streaming end with an EngineError."""
