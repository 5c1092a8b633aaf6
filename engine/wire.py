"""What a chat completions server sends, checked: it may be slow, odd, broken or hostile.

```
 bytes ─▶ `Bounded`: not without end ─▶ openai's client ─▶ chunks ─▶ `pieces`: text, and a real end
```

An answer counts only with its `finish_reason`: a proxy whose server died in the middle ends the
stream as if all were well.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

import httpx2

from foodcritic.errors import EngineError

#: Seconds without a byte, or without a chunk, after which an answer is given up.
SILENCE: Final = 60.0
#: Seconds that a server may go on after the end of its answer.
AFTER: Final = 1.0
#: Bytes of one response; an answer's chunk of a few hundred bytes holds a token.
LARGEST: Final = 32 * 2**20
#: Letters of the longest tokens: an answer with more for each token never ends.
LETTERS: Final = 64
#: Chunks beside those that carry text: roles, usage, signs of life.
BESIDE: Final = 256
#: How servers say that they could not finish; LMDeploy and vLLM.
FAILED: Final = ("error", "abort", "parse_error")


class Bounded(httpx2.AsyncHTTPTransport):
    """A transport whose responses end with an error where they are larger than `LARGEST`."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Counted(response.stream, request)
        return response


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream, self._request, self._left = stream, request, LARGEST

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for some in self._stream:
            self._left -= len(some)
            if self._left < 0:
                reason = f"the answer is larger than {LARGEST} bytes"
                raise httpx2.ReadError(reason, request=self._request)
            yield some

    async def aclose(self) -> None:
        await self._stream.aclose()


async def pieces(chunks: AsyncIterator[Any], tokens: int) -> AsyncGenerator[str, None]:
    """The text of a streamed answer of at most so many tokens, piece by piece.

    Raises:
        EngineError: it stalls, never ends, ends half-way, or is no chat completion.
    """
    finish, letters, count = None, 0, 0
    while finish is None:
        try:
            async with asyncio.timeout(SILENCE):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            raise EngineError("the server broke off in the middle of its answer") from None
        except TimeoutError:
            raise EngineError(f"the server was silent for {SILENCE:.0f} s") from None
        except (ValueError, TypeError) as error:  # no JSON, no UTF-8
            raise EngineError(f"the server sent what cannot be read: {_short(error)}") from error
        count += 1
        text, finish = _told(chunk)
        letters += len(text)
        if letters > tokens * LETTERS or count > 2 * tokens + BESIDE:
            raise EngineError(f"the server does not stop: {count} chunks for {tokens} tokens")
        if text:
            yield text
    if finish in FAILED:
        raise EngineError(f"the server could not finish its answer: {finish}")
    # To its end, so that the connection can be used again; what comes there is nobody's answer.
    with contextlib.suppress(TimeoutError, StopAsyncIteration, ValueError, httpx2.HTTPError):
        async with asyncio.timeout(AFTER):
            for _ in range(BESIDE):
                await anext(chunks)


def _told(chunk: Any) -> tuple[str, str | None]:
    """The text of a chunk and why the answer ends with it, if it does.

    A chunk without a choice tells how many tokens there were, or just that the server lives.
    """
    error = getattr(chunk, "error", None)
    if error:
        raise EngineError(f"the server sent an error: {_short(error)}")
    choices = getattr(chunk, "choices", None) or ()
    if not isinstance(choices, list | tuple):
        raise EngineError(f"the server sent no chat completion: {_short(chunk)}")
    text, finish = "", None
    for choice in choices:
        said = getattr(getattr(choice, "delta", None), "content", None) or ""
        finish = getattr(choice, "finish_reason", None) or finish
        if not isinstance(said, str):
            raise EngineError(f"the server sent no text: {_short(said)}")
        text += said
    return text, None if finish is None else str(finish)


def whole(answer: Any) -> Any:
    """The first choice of an answer that is not streamed.

    Raises:
        EngineError: there is none, or the server could not finish it.
    """
    try:
        choice = answer.choices[0]
        finish = choice.finish_reason
        assert isinstance(choice.message.content or "", str)
    except (AttributeError, TypeError, IndexError, KeyError, AssertionError) as error:
        reason = f"the server sent no chat completion: {_short(answer)}"
        raise EngineError(reason) from error
    if finish in FAILED:
        raise EngineError(f"the server could not finish its answer: {finish}")
    return choice


def named(choice: Any) -> tuple[tuple[str, float], ...]:
    """The answer with its probability, if the server told how likely its tokens were."""
    tokens = getattr(choice.logprobs, "content", None)
    said = (choice.message.content or "").strip()
    # A greedy sampler that weighs one token only says 0.0 for each: that tells nothing.
    if not said or not tokens or choice.finish_reason != "stop":
        return ()
    try:
        odds = [float(token.logprob) for token in tokens]
    except (AttributeError, TypeError, ValueError):  # it tells them in some other way
        return ()
    if not any(odds):
        return ()
    return ((said, math.exp(sum(min(odd, 0.0) for odd in odds))),)


def _short(what: object) -> str:
    return " ".join(str(what).split())[:200]
