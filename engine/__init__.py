"""The engines: photos and messages in, streamed text out, whatever runs the model.

```
 load(settings) ─▶ openvino   in this process, CPU, the shipped nano or any InternVL2 IR folder
                ├▶ lmdeploy   in this process, GPU
                └▶ openai     over HTTP: lmdeploy's api_server, its proxy, or any such server
```
"""

import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foodcritic.errors import EngineError

if TYPE_CHECKING:  # training imports engine.nano where there is no pydantic-settings
    from foodcritic.settings import Settings

# `import openvino` reports itself to its makers through this module, with a number kept in ~/intel,
# unless the module is missing: to Python it now is. Nothing leaves this machine unasked.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

#: A photo as an engine takes it: a file, its bytes, or decoded to RGB.
Picture: TypeAlias = Path | bytes | Image.Image


class PromptTooLong(EngineError):
    """The conversation leaves no room for an answer: send fewer turns."""

    def __init__(self, model: str, tokens: int, limit: int) -> None:
        super().__init__(
            f"the prompt takes {tokens} tokens, {model} reads at most {limit}: ask in fewer words"
        )
        #: Of the prompt.
        self.tokens = tokens
        #: What it may take.
        self.limit = limit


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

    @property
    def turns(self) -> int:
        """Earlier turns of a conversation that it can go on from; more only confuse it."""

    def photo_tokens(self, photos: int) -> int:
        """Tokens that so many photos of one question take at most; they share their tiles."""

    @property
    def continues(self) -> bool:
        """Whether it goes on from a last message that is the assistant's, without repeating it."""

    @property
    def unsure_below(self) -> float:
        """A first candidate less probable than this is doubt; 0 without candidates."""

    def stream(
        self, messages: Sequence[Message], generation: Generation
    ) -> AsyncGenerator[str, None]:
        """The answer, piece by piece; closing the generator stops the model.

        A last message of the assistant's is how the answer begins (see `continues`).

        Raises:
            PromptTooLong: it does not fit into `context`.
            EngineError: it holds too many photos, or the engine failed.
            PhotoError: a photo cannot be read.
        """

    async def candidates(
        self, messages: Sequence[Message], count: int = 3
    ) -> tuple[tuple[str, float], ...]:
        """The likeliest short answers with their probabilities (they need not add up to 1).

        Likeliest first; () from an engine that gives no likelihoods.
        """

    def count(self, text: str) -> int | None:
        """How many tokens a text takes; None where the engine cannot tell."""

    async def embed(self, photo: Picture) -> NDArray[np.float32] | None:
        """The vision encoder's vector of unit length, (size,); None where there is none."""

    async def close(self) -> None:
        """Free the model; answers still streaming end with an EngineError."""


async def load(settings: "Settings") -> Engine:
    """The engine that the settings name, ready to answer.

    Raises:
        ModelError: its model cannot be found or loaded.
        SettingsError: the settings name an engine that this installation lacks.
    """
    from engine import choice

    return await choice.load(settings)


def export_kind(folder: Path) -> Literal["openvino", "checkpoint", ""]:
    """What a model folder holds; '' for no folder."""
    if not folder.is_dir():
        return ""
    built = (folder / "openvino_language_model.xml").is_file()
    return "openvino" if built else "checkpoint"
