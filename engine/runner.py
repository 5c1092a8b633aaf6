"""What the GPU engine asks of whatever runs the model: token ids and pixels in, token ids out."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from engine import Generation
from engine.prepare import Prepared
from foodcritic.errors import EngineError


class EngineDied(EngineError):
    """The engine is beyond answering (it hangs, or lost its GPU): only a fresh process helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A rendered conversation."""

    ids: list[int]
    #: The pictures, in the order of their places in `ids`.
    pictures: tuple[Prepared, ...] = ()
    #: Where each picture's tokens begin and how many they are.
    places: tuple[tuple[int, int], ...] = ()
    #: Tiles of the pictures that were not looked at before.
    fresh: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A greedy answer with what else could have been said."""

    #: Its tokens, the one that ended it included.
    ids: list[int]
    #: For each of them, the likeliest tokens there with the logarithms of their probabilities.
    tops: list[dict[int, float]]


class Runner(Protocol):
    """One loaded model. Everything is called from one event loop."""

    @property
    def session_len(self) -> int:
        """Tokens that a prompt and its answer may take together."""

    @property
    def concurrency(self) -> int:
        """Answers at once that it does well."""

    def stream(
        self, prompt: Prompt, generation: Generation, ends: frozenset[int]
    ) -> AsyncGenerator[list[int], None]:
        """The answer's ids, some at a time; closing the generator stops the model.

        The last may be of `ends`.

        Raises:
            EngineError: the model failed at this prompt.
        """

    async def score(self, prompt: Prompt, ends: frozenset[int], most: int) -> Scored:
        """The greedy answer of at most so many tokens, with the alternatives on its way."""

    async def close(self) -> None:
        """Free the model."""
