"""How chat completions servers refuse, in our terms: LMDeploy's, vLLM's and SGLang's words."""

import re
from typing import Final

import httpx2
import openai

from engine import PromptTooLong, wire
from foodcritic.errors import EngineError

#: What asking may end in; bodies that are no JSON or no text come as ValueErrors.
REFUSALS: Final = (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, ValueError)
#: A context below this is none, but some other number.
LEAST: Final = 512

_PHOTOS: Final = re.compile(r"at most (\d{1,3}) image|\bimage=(\d{1,3})\b.*limit-mm", re.IGNORECASE)
_TOKENS: Final = re.compile(r"context length\D{0,12}(\d{3,8})", re.IGNORECASE)


def said(error: Exception) -> str:
    """The server's words, on one line."""
    return " ".join(str(getattr(error, "message", error)).split())[:300]


def is_away(error: Exception) -> bool:
    """Whether nobody listens, or a proxy says that nobody is behind it."""
    if isinstance(error, openai.APIConnectionError):
        return isinstance(error.__cause__, httpx2.ConnectError)
    return isinstance(error, openai.APIStatusError) and error.status_code in (502, 503, 504)


def refuses_top_k(error: openai.OpenAIError) -> bool:
    """Whether the server does not know what is not OpenAI's own."""
    refused = isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError)
    return refused and "top_k" in str(error)


def limits(error: Exception) -> tuple[int | None, int | None]:
    """The photos of a question and the tokens of a context that a refusal says are the most."""
    if not isinstance(error, openai.BadRequestError):
        return None, None
    photos, tokens = _PHOTOS.search(said(error)), _TOKENS.search(said(error))
    most = int(photos[1] or photos[2]) if photos else 0
    length = int(tokens[1]) if tokens else 0
    return most or None, length if length >= LEAST else None


def understood(error: Exception, model: str, context: int) -> EngineError:
    """The refusal as one of our errors."""
    words = said(error)
    if isinstance(error, openai.APITimeoutError):
        return EngineError(f"{model}: the server was silent for {wire.SILENCE:.0f} s")
    if isinstance(error, httpx2.HTTPError | httpx2.InvalidURL):  # in the middle of an answer
        return EngineError(f"{model}: the server broke off: {words or repr(error)}")
    if isinstance(error, openai.APIConnectionError):
        cause = f"{words} {error.__cause__ or ''}".strip()
        return EngineError(f"{model}: the server cannot be reached: {cause}")
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return EngineError(f"the server refuses FOODCRITIC_ENGINE_KEY: {words}")
    if isinstance(error, openai.BadRequestError) and _is_length(words):
        return PromptTooLong(model, context + 1, context)
    return EngineError(f"{model}: the server answered: {words}")


def _is_length(said: str) -> bool:
    said = said.casefold()
    return "context" in said or "too long" in said or "length" in said or "maximum" in said
