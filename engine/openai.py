"""The engine over HTTP: any server with OpenAI's chat completions that sees pictures.

```
 photo ─▶ upright JPEG, shrunk to what the tiles need, kept by hash ─▶ data URL ─┐
 messages ───────────────────────────────────────────────────────────────────────┴▶ server ─▶ `wire`
```

Seen with `lmdeploy serve api_server`, alone or behind `lmdeploy serve proxy`; vLLM and others speak
the same. A server tells little of itself: names come with a probability only where it sends
likelihoods, and nothing is continued, since servers disagree on how to ask for that.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import httpx2
import numpy as np
import openai
from numpy.typing import NDArray

from engine import Generation, Message, Picture, PromptTooLong, hub, prepare, refusals, wire
from engine.budget import Budget
from engine.folder import PHOTOS
from foodcritic import dialogue, prompts
from foodcritic.errors import EngineAway, EngineError, ModelError, SettingsError
from foodcritic.settings import Settings

#: Seconds to reach the server.
CONNECT: Final = 10.0
#: Seconds that a server may be away before questions fail, and between two looks: it is started
#: again by whoever keeps it, and loads its model.
AWAY: Final = 120.0
AGAIN: Final = 2.0
#: Answers at once, unless set otherwise: the server queues by itself.
CONCURRENCY: Final = 32
#: Tokens that a prompt and its answer may take, where the server does not say.
CONTEXT: Final = 8192
#: Of an InternVL2's tile.
TILE_TOKENS: Final = 256
#: A name less probable than this is doubt.
UNSURE: Final = 0.35
#: Encoded photos kept, in bytes.
REMEMBERED: Final = 64 * 2**20


class OpenAI:
    """An `Engine` over one model of a server. Make one with `connect`."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        model: str,
        *,
        context: int = CONTEXT,
        lmdeploy: bool = False,
        max_tiles: int = 12,
        concurrency: int = CONCURRENCY,
        first_word: float | None = None,
    ) -> None:
        self._client, self._model = client, model
        self._context, self._lmdeploy = context, lmdeploy
        #: The server schedules by itself: no limit here to what it reads at a time.
        self._budget = Budget(max_tiles, first_word, at_once=2**30)
        self.concurrency = concurrency
        #: Photos in one question; less once the server has said so.
        self._photos = PHOTOS
        #: Whether the server refuses what OpenAI's own does not know.
        self._strict = False
        #: By a photo's digest and how many were shown together: data URLs and tiles.
        self._kept: OrderedDict[tuple[str, int], tuple[str, int]] = OrderedDict()
        self._bytes = 0

    @property
    def model(self) -> str:
        return self._model.rstrip("/").rpartition("/")[2]

    @property
    def context(self) -> int:
        return self._context

    @property
    def photos_per_question(self) -> int:
        return self._photos

    @property
    def turns(self) -> int:
        return dialogue.LONGEST

    def photo_tokens(self, photos: int) -> int:
        share = max(1, self._budget.most // max(1, photos))
        return photos * (share + (share > 1)) * TILE_TOKENS

    @property
    def continues(self) -> bool:
        return False

    @property
    def unsure_below(self) -> float:
        return UNSURE

    async def stream(
        self, messages: Sequence[Message], generation: Generation
    ) -> AsyncGenerator[str, None]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        shown, fresh = await self._shown(messages)
        async with self._budget.reading(fresh) as reading:
            try:
                chunks = await self._asked(messages=shown, stream=True, **_how(generation))
                try:
                    pieces = wire.pieces(aiter(chunks), generation.max_new_tokens)
                    async with aclosing(pieces):
                        async for piece in pieces:
                            reading.first(loop.time() - started)
                            yield piece
                finally:
                    await chunks.close()
            except refusals.REFUSALS as error:
                raise self._understood(error) from error

    async def candidates(
        self, messages: Sequence[Message], count: int = 3
    ) -> tuple[tuple[str, float], ...]:
        shown, fresh = await self._shown(messages)
        how = _how(Generation(max_new_tokens=24, greedy=True))
        async with self._budget.reading(fresh):
            try:
                likely = {"logprobs": True, "top_logprobs": 5}
                answer = await self._asked(messages=shown, **likely, **how)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if isinstance(understood := self._understood(error), PromptTooLong):
                    raise understood from error
                return ()  # a server without likelihoods
            except refusals.REFUSALS as error:
                raise self._understood(error) from error
        return wire.named(wire.whole(answer))

    def count(self, text: str) -> int | None:
        return None

    async def tiles(self, photos: Sequence[Picture]) -> int | None:
        """The most tiles the last question's photos were cut into; None: the server decides."""
        if not self._lmdeploy or not photos:
            return None
        known = self._kept.get((await asyncio.to_thread(_digest, photos[0]), len(photos)))
        return known[1] if known else None

    async def embed(self, photo: Picture) -> NDArray[np.float32] | None:
        return None

    async def close(self) -> None:
        await self._client.close()

    async def _asked(self, **how: Any) -> Any:
        """What the server answers; while it is away, being started again, it is waited for."""
        until = time.monotonic() + AWAY
        while True:
            if self._strict:
                how.pop("extra_body", None)
            try:
                return await self._client.chat.completions.create(model=self._model, **how)
            except openai.OpenAIError as error:
                if "extra_body" in how and refusals.refuses_top_k(error):
                    self._strict = True
                    continue
                # LMDeploy's proxy without servers knows no model.
                lost = isinstance(error, openai.NotFoundError) and "does not exist" in str(error)
                away = refusals.is_away(error) or (lost and self._lmdeploy)
                if not away or time.monotonic() >= until:
                    raise
            await asyncio.sleep(AGAIN)

    async def _shown(self, messages: Sequence[Message]) -> tuple[list[Any], int]:
        """The messages as the server takes them, and how many tiles are new to it."""
        if any(len(m.images) > self._photos for m in messages):
            raise EngineError(f"{self.model} looks at {self._photos} photo(s) at a time")
        turns, fresh = list[Any](), 0
        for message in messages:
            said = message.text if message.role == "system" else prompts.clean(message.text)
            if not message.images:
                turns.append({"role": message.role, "content": said})
                continue
            parts = list[Any]()
            share = max(1, self._budget.choose() // len(message.images))
            for image in message.images:
                url, tiles, new = await self._encoded(image, share, len(message.images))
                fresh += new * (tiles + (tiles > 1))
                shown: dict[str, Any] = {"url": url}
                if self._lmdeploy:  # others refuse what they do not know
                    shown["max_dynamic_patch"] = tiles
                parts.append({"type": "image_url", "image_url": shown})
            turns.append(
                {"role": message.role, "content": [*parts, {"type": "text", "text": said}]}
            )
        return turns, fresh

    async def _encoded(self, picture: Picture, tiles: int, together: int) -> tuple[str, int, bool]:
        """A photo's data URL, its tiles and whether it was not sent before among so many."""
        key = await asyncio.to_thread(_digest, picture), together
        if known := self._kept.get(key):
            self._kept.move_to_end(key)
            return *known, False
        url = await asyncio.to_thread(prepare.data_url, picture, tiles)
        if old := self._kept.pop(key, None):  # asked for twice at once
            self._bytes -= len(old[0])
        self._kept[key] = url, tiles
        self._bytes += len(url)
        while self._bytes > REMEMBERED and len(self._kept) > 1:
            self._bytes -= len(self._kept.popitem(last=False)[1][0])
        return url, tiles, True

    def _understood(self, error: Exception) -> EngineError:
        """The server's refusal in our terms; a limit that it tells is kept to from then on."""
        photos, tokens = refusals.limits(error)
        if photos and photos < self._photos:
            self._photos = photos
        elif tokens and tokens < self._context:
            self._context = tokens
        else:
            return refusals.understood(error, self.model, self._context)
        return EngineError(f"{self.model} takes less than was known: {refusals.said(error)}")


async def connect(settings: Settings) -> OpenAI:
    """The engine over the server that FOODCRITIC_ENGINE_URL names.

    Raises:
        SettingsError: no address is set.
        EngineAway: nobody answers there, or has loaded a model yet.
        ModelError: no such server, or it does not serve FOODCRITIC_MODEL.
    """
    if not settings.engine_url:
        raise SettingsError("FOODCRITIC_ENGINE=openai needs FOODCRITIC_ENGINE_URL")
    base = settings.engine_url.rstrip("/")
    key = settings.engine_key.get_secret_value() if settings.engine_key else "none"
    client = openai.AsyncOpenAI(
        base_url=base if base.endswith("/v1") else f"{base}/v1",
        api_key=key,
        max_retries=2,
        timeout=httpx2.Timeout(wire.SILENCE, connect=CONNECT),
        # Photos go where the operator said and nowhere else.
        http_client=openai.DefaultAsyncHttpxClient(
            transport=wire.Bounded(), follow_redirects=False
        ),
    )
    try:
        served = [one for one in (await client.models.list()).data if isinstance(one.id, str)]
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        await client.close()
        raise ModelError(f"{base} refuses FOODCRITIC_ENGINE_KEY: {error}") from error
    except (*refusals.REFUSALS, AttributeError, TypeError) as error:
        await client.close()
        said = " ".join(str(error).split())[:300]
        kind = EngineAway if refusals.is_away(error) else ModelError
        raise kind(f"no OpenAI-compatible server answers at {base}: {said}") from error
    names = list(dict.fromkeys(one.id for one in served))
    # `foodcritic engine serve` calls ORG/NAME and FOLDER/NAME by their last part.
    model = settings.model
    wanted = (model, hub.called(model, hub.local(model))) if model else names
    chosen = next((one for one in served if one.id in wanted), None)
    if chosen is None:
        await client.close()
        kind = ModelError if served else EngineAway  # LMDeploy's proxy, before its servers
        raise kind(
            f"{base} does not serve {model or 'any model'}: it has {', '.join(names) or 'none'}"
        )
    told = getattr(chosen, "max_model_len", None)
    return OpenAI(
        client,
        chosen.id,
        context=told if isinstance(told, int) and told > 0 else CONTEXT,
        lmdeploy=chosen.owned_by == "lmdeploy",
        max_tiles=settings.max_tiles,
        concurrency=settings.concurrency or CONCURRENCY,
        first_word=settings.first_word_seconds or None,
    )


def _how(generation: Generation) -> dict[str, Any]:
    how: dict[str, Any] = {"max_tokens": generation.max_new_tokens}
    if generation.greedy:
        return how | {"temperature": 0}
    how |= {"temperature": min(generation.temperature, 2.0), "top_p": generation.top_p}
    if generation.seed is not None:
        how["seed"] = generation.seed
    return how | {"extra_body": {"top_k": generation.top_k}}


def _digest(picture: Picture) -> str:
    return prepare.read(picture)[1]
