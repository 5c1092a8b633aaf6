"""The CPU engine: an InternVL2 on the OpenVINO runtime, with a decode loop of our own.

```
 photo ─▶ tiles ─▶ vision encoder ─▶ picture tokens ─┐ kept by the photo's hash
 messages ─▶ chat template ─▶ ids ─▶ word vectors ───┴▶ language model ⟲ ─▶ text, piece by piece
```

The loop is ours, not OpenVINO GenAI's, for what GenAI does not give: picture tokens kept between
turns, so that a follow-up never looks at the photo again; names with probabilities by beam search;
exact tiling; several answers at once, each with a request and a state of its own; and no history
carried from one person to the next. `benchmarks/openvino.py` compares the two.

Every answer runs in a worker thread and shares the cores step by step with the others, so each
makes equal progress. The folder is a checkpoint (built on first use by `engine.export`) or
an OpenVINO folder, ours or optimum-intel's.
"""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from engine import (
    Generation,
    Message,
    Picture,
    PromptTooLong,
    decoder,
    export,
    folder,
    nano,
    sampling,
    text,
)
from engine.decoder import Session
from engine.eyes import Eyes, Tokens
from foodcritic.errors import EngineError, ModelError

T = TypeVar("T")

#: Text is handed over at most this often, in seconds: a person reads no faster.
FLUSH = 0.02
#: Room for an answer that a prompt must leave, in tokens.
ROOM = 32
#: Word vectors are looked up in a table of ours below this size, else by the model.
LARGEST_TABLE = 64 * 2**20
#: Answers at once, unless set otherwise.
CONCURRENCY = 4


class OpenVINO(folder.Described):
    """An `Engine` over one model folder.

    Raises:
        ModelError: the folder is incomplete or no model this engine can run.
    """

    def __init__(
        self, path: Path, *, name: str, max_tiles: int = 12, concurrency: int = CONCURRENCY
    ) -> None:
        if not export.is_exported(path):
            raise ModelError(f"{path} holds no OpenVINO vision-language model: convert it first")
        self._name = name
        self._template, self._tokenizer = text.Template(path), text.tokenizer(path)
        self._shape = folder.shape(path, self._tokenizer)
        self._tiles = min(max_tiles, self._shape.tiles)
        core, how = ov.Core(), folder.settings(path)
        try:
            vision = core.read_model(path / f"{export.VISION}.xml")
            self._eyes = Eyes(core, vision, self._shape)
            language = decoder.only_last(core.read_model(path / f"{export.LANGUAGE}.xml"))
            compiled = core.compile_model(language, "CPU", how)
            words = core.compile_model(path / f"{export.WORDS}.xml", "CPU", how)
        except RuntimeError as error:
            raise ModelError(f"{path}: OpenVINO cannot load it: {error}") from error
        self._words = _word_vectors(words, self._shape.vocabulary)
        self._sessions: queue.LifoQueue[Session] = queue.LifoQueue()
        for _ in range(concurrency):
            self._sessions.put(Session(compiled))
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="openvino")
        self._closed = threading.Event()

    @property
    def context(self) -> int:
        return self._shape.context

    def photo_tokens(self, photos: int) -> int:
        return self._shape.photo_tokens(photos, self._tiles)

    async def stream(
        self, messages: Sequence[Message], generation: Generation
    ) -> AsyncGenerator[str, None]:
        loop, stop = asyncio.get_running_loop(), threading.Event()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def answer() -> None:
            try:
                for piece in self.answer(messages, generation, stop):
                    loop.call_soon_threadsafe(pieces.put_nowait, piece)
            finally:
                loop.call_soon_threadsafe(pieces.put_nowait, None)

        running = self._run(answer)
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            await asyncio.wrap_future(running)
        finally:
            stop.set()
            if not running.cancel():  # it has begun: it ends with its present step
                await asyncio.gather(asyncio.wrap_future(running), return_exceptions=True)

    async def candidates(
        self, messages: Sequence[Message], count: int = 3
    ) -> tuple[tuple[str, float], ...]:
        return await asyncio.wrap_future(self._run(lambda: self.name([messages], count)[0]))

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text))

    async def embed(self, photo: Picture) -> NDArray[np.float32]:
        return await asyncio.wrap_future(self._run(lambda: self.vectors([photo])[0]))

    async def close(self) -> None:
        self._closed.set()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    def answer(
        self, messages: Sequence[Message], generation: Generation, stop: threading.Event
    ) -> Iterator[str]:
        """`stream`, in the calling thread; ends early once `stop` is set."""
        prompt = self.prompt(messages)
        most = min(generation.max_new_tokens, self.context - len(prompt))
        choose, decoding = sampling.chooser(generation), self._tokenizer.stream()
        session = self._sessions.get()
        try:
            logits = session.start(prompt[None])
            held, flushed = "", 0.0
            for _ in range(most):
                token = choose(logits[0])
                if token in self._shape.ends or stop.is_set():
                    break
                if self._closed.is_set():
                    raise EngineError(f"{self.model} was closed while it answered")
                held += decoding.push(token)
                if held and (now := time.monotonic()) - flushed > FLUSH:
                    yield held
                    held, flushed = "", now
                logits = session.step(self._words([token])[:, None])
            if held and not stop.is_set():
                yield held
        finally:
            session.forget()
            self._sessions.put(session)

    def name(
        self, asked: Sequence[Sequence[Message]], count: int = 3
    ) -> list[tuple[tuple[str, float], ...]]:
        """`candidates` for many prompts at once, in the calling thread."""
        prompts = self.prompts(asked)
        session = self._sessions.get()
        try:
            found = decoder.likeliest(
                session,
                prompts,
                self._words,
                self._shape.ends,
                count=count,
                temperature=self._shape.temperature,
            )
        finally:
            self._sessions.put(session)
        return [_merged((self._tokenizer.decode(ids), p) for ids, p in names) for names in found]

    def prompt(self, messages: Sequence[Message]) -> Tokens:
        """The messages as the language model reads them: (length, hidden)."""
        return self.prompts([messages])[0]

    def prompts(self, asked: Sequence[Sequence[Message]]) -> list[Tokens]:
        """`prompt` for many; their photos go through the vision encoder together.

        Raises:
            EngineError: too many photos.
            PromptTooLong: it leaves no room for an answer.
            PhotoError: a photo cannot be read.
        """
        for messages in asked:
            if any(len(m.images) > self.photos_per_question for m in messages):
                raise EngineError(
                    f"{self.model} looks at {self.photos_per_question} photo(s) per question"
                )
        images = [image for messages in asked for m in messages for image in m.images]
        shares = [len(m.images) for messages in asked for m in messages for _ in m.images]
        tiles = [max(1, self._tiles // share) for share in shares]
        seen = iter(self._eyes.look(images, tiles))
        return [self._fill(messages, seen) for messages in asked]

    def vectors(self, pictures: Sequence[Picture]) -> list[NDArray[np.float32]]:
        """`embed` for many photos, in the calling thread."""
        found = []
        for tokens in self._eyes.look(pictures, [self._tiles] * len(pictures)):
            mean = tokens[-self._shape.tokens :].mean(0)
            found.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
        return found

    def _fill(self, messages: Sequence[Message], seen: Iterator[Tokens]) -> Tokens:
        pictures = [[next(seen) for _ in m.images] for m in messages]
        counts = [[len(p) for p in of_message] for of_message in pictures]
        ids = self._tokenizer.encode(self._template.render(messages, counts))
        if len(ids) + ROOM > self.context:
            raise PromptTooLong(self.model, len(ids), self.context - ROOM)
        vectors = self._words(ids)
        if shown := [p for of_message in pictures for p in of_message]:
            places = np.flatnonzero(np.array(ids) == self._shape.picture)
            if len(places) != sum(len(p) for p in shown):
                raise ModelError(f"{self.model}: its tokenizer does not keep {text.CONTEXT} whole")
            vectors[places] = np.concatenate(shown)
        return vectors

    def _run(self, call: Callable[[], T]) -> Future[T]:
        if self._closed.is_set():
            raise EngineError(f"{self.model} is closed")
        return self._threads.submit(call)


def load(
    path: Path, models: Path, *, max_tiles: int = 12, concurrency: int = CONCURRENCY
) -> OpenVINO:
    """The engine over a checkpoint or OpenVINO folder; what is built from one goes to `models`.

    Raises:
        ModelError: there is no such folder, or it holds no model for this engine.
    """
    export.check(path)
    built = path if export.is_exported(path) else export.cached(path, models)
    name = "nano" if path == nano.MODEL else path.resolve().name
    try:
        return OpenVINO(built, name=name, max_tiles=max_tiles, concurrency=concurrency)
    except ModelError as error:
        if built == path:
            raise
        raise ModelError(
            f"{str(error).strip()}\nIt was built from {path}: if that is whole, delete {built}, "
            "and it is built anew"
        ) from error


def _word_vectors(
    model: ov.CompiledModel, vocabulary: int
) -> Callable[[Sequence[int]], NDArray[np.float32]]:
    """Ids (length) to vectors (length, hidden): a table, where one is small enough to keep."""
    lock, request = threading.Lock(), model.create_infer_request()

    def ask(ids: Sequence[int]) -> NDArray[np.float32]:
        with lock:
            request.set_input_tensor(0, ov.Tensor(np.array([ids], np.int64)))
            request.infer()
            vectors: NDArray[np.float32] = request.get_output_tensor(0).data[0].copy()
            return vectors

    if vocabulary * ask([0]).nbytes > LARGEST_TABLE:
        return ask
    table = ask(range(vocabulary))
    return lambda ids: table[np.array(ids)]


def _merged(named: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Equal texts from different tokens are one candidate."""
    odds: dict[str, float] = {}
    for name, probability in named:
        name = name.strip()
        if name:
            odds[name] = odds.get(name, 0.0) + probability
    return tuple(sorted(odds.items(), key=lambda pair: -pair[1]))
