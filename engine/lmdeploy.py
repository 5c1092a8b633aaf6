"""LMDeploy behind one file: TurboMind where it can, else the PyTorch engine, driven directly.

```
 Prompt ─▶ LMDeploy's pixels, offsets, fingerprint ─▶ engine instance ─▶ ids, coalesced under load
```

LMDeploy's own front end (`pipeline`, `AsyncEngine`) prepares pictures in one thread, hashes their
pixels on the event loop and decodes every token in Python as it comes: the GPU waits for it. Used
here is what stands below it: `TurboMind` and `Engine`, their instances and `async_stream_infer`, as
of LMDeploy 0.18, which requirements-gpu.lock pins. Pictures carry a fingerprint made from the
photo's hash, so TurboMind's prefix cache knows them without reading their pixels.
"""

import asyncio
import gc
import itertools
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from engine import Generation, sampling, text
from engine.plan import Plan
from engine.prepare import Prepared
from engine.runner import EngineDied, Prompt, Scored
from engine.streams import Streams
from engine.turbomind import GEMM
from engine.vision import Vision
from foodcritic.errors import EngineError, ModelError, let_go

#: Alternatives looked at on the way of a scored answer.
TOP: Final = 20
#: Seconds that an engine may take to let go of its answers, and the PyTorch engine to end.
CLOSE_WITHIN: Final = 10.0
#: LMDeploy's ResponseType names that mean all is well.
_WELL: Final = ("SUCCESS", "FINISH", "CANCEL")

log = structlog.get_logger(__name__)


class LMDeploy:
    """A `Runner` over LMDeploy. Make one with `load`."""

    def __init__(self, folder: Path, plan: Plan, image_token: int) -> None:
        import torch
        from lmdeploy.messages import GenerationConfig

        # One thread an operator: with more, photo threads and the engine fight over the cores.
        torch.set_num_threads(1)
        _listen()
        self.plan = plan
        self._torch, self._config = torch, GenerationConfig
        self._dtype = torch.float16 if plan.dtype == "float16" else torch.bfloat16
        self._image_token = image_token
        self._sessions = itertools.count(1)
        build = _turbomind if plan.backend == "turbomind" else _pytorch
        try:
            # First: what TurboMind takes for keys and values is a share of what is left.
            self._vision = self._encoder(folder) if plan.own_vision else None
            plan = replace(plan, own_vision=self._vision is not None)
            self._engines = [build(folder, plan) for _ in range(plan.engines)]
        except (Exception, SystemExit) as error:  # LMDeploy raises anything, and its checks exit
            # Whoever is told of it may load another model at once, into the same memory.
            self._vision = None
            let_go(error)
            torch.cuda.empty_cache()
            raise ModelError(f"LMDeploy cannot load {folder}: {_short(error)}") from error
        self._idle: list[list[Any]] = [[] for _ in self._engines]
        self._busy = [0 for _ in self._engines]
        self._streams = Streams()
        self._started = False

    @property
    def session_len(self) -> int:
        return self.plan.session_len

    @property
    def concurrency(self) -> int:
        return self.plan.max_batch_size

    @property
    def exclusive(self) -> bool:
        """Whether the card has no room for a second model beside this one."""
        return not self.plan.roomy

    async def stream(
        self, prompt: Prompt, generation: Generation, ends: frozenset[int]
    ) -> AsyncGenerator[list[int], None]:
        async with aclosing(self._ask(prompt, self._how(generation, ends), stream=True)) as outs:
            async for out in outs:
                if out.token_ids:
                    yield out.token_ids

    async def score(self, prompt: Prompt, ends: frozenset[int], most: int) -> Scored:
        how = self._how(Generation(max_new_tokens=most, greedy=True), ends)
        if self.plan.backend == "turbomind":
            how.output_logits = "generation"
        else:
            how.logprobs = TOP
        ids, tops, logits = list[int](), list[Any](), None
        async with aclosing(self._ask(prompt, how, stream=False)) as outs:
            async for out in outs:
                ids += out.token_ids
                logits = out.logits if out.logits is not None else logits
                tops += out.logprobs or []
        if logits is not None:
            tops = sampling.likeliest(logits.float().cpu().numpy()[: len(ids)], TOP)
        return Scored(ids=ids, tops=[_as_dict(top) for top in tops])

    async def close(self) -> None:
        await self._streams.end(CLOSE_WITHIN)  # what it is at keeps it from being freed
        self._idle.clear()
        if self._vision is not None:
            self._vision.close()
            self._vision = None
        while self._engines:  # by no name of ours, which would keep it from being freed
            await _closed(self._engines.pop(), running=self._started)
        gc.collect()
        self._torch.cuda.empty_cache()

    async def _ask(self, prompt: Prompt, how: Any, *, stream: bool) -> AsyncGenerator[Any, None]:
        """LMDeploy's outputs for a prompt, as they come."""
        self._streams.check()
        pictures = await self._multimodal(prompt)
        if not self._started and self.plan.backend == "pytorch":
            for engine in self._engines:  # its loop is the one it is first used from
                engine.start_loop()
            self._started = True
        which, session = self._choose(prompt), next(self._sessions)
        idle = self._idle[which]
        instance = idle.pop() if idle else self._engines[which].create_instance()
        self._busy[which] += 1
        answer = instance.async_stream_infer(
            session,
            input_ids=prompt.ids,
            multimodal=pictures,
            gen_config=how,
            stream_output=stream,
            adapter_name=None,
        )

        async def stop() -> None:
            await instance.async_cancel(session)

        def done() -> None:
            self._busy[which] -= 1
            idle.append(instance)

        async with aclosing(self._streams.read(_checked(answer), stop, done)) as outs:
            async for out in outs:
                yield out

    def _encoder(self, folder: Path) -> Vision[Any] | None:
        from engine import internvit

        try:
            encoder = internvit.Encoder(folder, self._dtype, "cuda")
        except (KeyError, ValueError) as error:  # another encoder than InternViT: TurboMind's then
            log.info("vision.not_own", reason=_short(error))
            return None
        if slower := encoder.warm_up():
            log.warning("vision.slow", reason=slower)
        return Vision(encoder.look, internvit.size, self.plan.vision_bytes)

    async def _multimodal(self, prompt: Prompt) -> list[dict[str, Any]] | None:
        return [
            {
                "pixel_values": await self._values(picture),
                "offset": start,
                "image_tokens": length,
                "image_token_id": self._image_token,
                "fingerprint": picture.fingerprint,
            }
            for picture, (start, length) in zip(prompt.pictures, prompt.places, strict=True)
        ] or None

    async def _values(self, picture: Prepared) -> Any:
        """What the engine takes a picture as: pixels, or what our encoder saw."""
        if self._vision is not None:
            return await self._vision.see(picture)
        return self._torch.from_numpy(picture.pixels.view(np.int16)).view(self._dtype)

    def _how(self, generation: Generation, ends: frozenset[int]) -> Any:
        if generation.greedy:
            chosen: dict[str, Any] = {"top_k": 1, "temperature": 1.0}
        else:
            chosen = {
                "do_sample": True,
                "top_k": generation.top_k,
                "top_p": generation.top_p,
                "temperature": min(generation.temperature, 2.0),  # LMDeploy's limit
                "random_seed": _seed() if generation.seed is None else generation.seed,
            }
        most = generation.max_new_tokens
        return self._config(max_new_tokens=most, stop_token_ids=sorted(ends), **chosen)

    def _choose(self, prompt: Prompt) -> int:
        """The engine that has seen the first photo, else the least busy one."""
        if prompt.pictures:
            return prompt.pictures[0].fingerprint[0] % len(self._engines)
        return min(range(len(self._engines)), key=self._busy.__getitem__)


def _listen() -> None:
    """Have LMDeploy's lines in our log: it writes them to stdout, where programs read answers."""
    lines = logging.getLogger("lmdeploy")
    lines.setLevel(logging.WARNING)  # else two lines an answer
    lines.propagate = True
    for handler in [*lines.handlers]:
        if type(handler) is logging.StreamHandler:  # a file that the operator named stays
            for known in handler.filters:  # a warning once
                lines.addFilter(known)
            lines.removeHandler(handler)


class _Words:
    """A `text.Tokenizer` over one of transformers'."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Any) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def stream(self) -> text.Decoding:
        return text.Catching(self)


def tokenizer(folder: Path, *, trusted: bool) -> text.Tokenizer:
    """The checkpoint's tokenizer through transformers, for one without tokenizer.json.

    Raises:
        ModelError: transformers cannot read it.
    """
    from transformers import AutoTokenizer

    try:
        return _Words(AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trusted))
    except Exception as error:  # transformers and the model's own code raise anything
        raise ModelError(f"{folder}: no tokenizer: {_short(error)}") from error


def load(folder: Path, plan: Plan, image_token: int) -> LMDeploy:
    """Load a checkpoint; takes seconds to minutes, in the calling thread.

    Raises:
        ModelError: LMDeploy cannot.
    """
    return LMDeploy(folder, plan, image_token)


def turbomind_serves(language: str, pixel_shuffle: str) -> bool:
    """Whether TurboMind serves an InternVL2 over this language model's architecture."""
    from lmdeploy import turbomind
    from lmdeploy.turbomind.supported_models import SUPPORTED_ARCHS

    return bool(turbomind.is_available()) and language in SUPPORTED_ARCHS and pixel_shuffle == "v2"


def _turbomind(folder: Path, plan: Plan) -> Any:
    os.environ.setdefault("TM_LOG_LEVEL", "ERROR")
    from lmdeploy.messages import TurbomindEngineConfig
    from lmdeploy.turbomind import TurboMind

    config = TurbomindEngineConfig(
        dtype=plan.dtype,
        session_len=plan.session_len,
        max_batch_size=plan.max_batch_size,
        cache_max_entry_count=plan.cache_max_entry_count,
        max_prefill_token_num=plan.max_prefill_token_num,
        quant_policy=plan.quant_policy,
        enable_prefix_caching=plan.prefix_caching,
        enable_metrics=plan.metrics,
        **{"gemm_input_dtype": GEMM} if plan.weight_bits == 8 else {},
        **plan.more,
    )
    if plan.own_vision:
        from engine import turbomind

        return turbomind.load(folder, config, trusted=plan.trusted)
    return TurboMind.from_pretrained(
        str(folder), engine_config=config, trust_remote_code=plan.trusted
    )


def _pytorch(folder: Path, plan: Plan) -> Any:
    from lmdeploy.messages import PytorchEngineConfig
    from lmdeploy.pytorch.engine import Engine

    config = PytorchEngineConfig(
        dtype=plan.dtype,
        session_len=plan.session_len,
        max_batch_size=plan.max_batch_size,
        cache_max_entry_count=plan.cache_max_entry_count,
        max_prefill_token_num=plan.max_prefill_token_num,
        quant_policy=plan.quant_policy,
        enable_metrics=plan.metrics,
        logprobs_mode="raw_logprobs",
        **plan.more,
    )
    return Engine.from_pretrained(str(folder), engine_config=config, trust_remote_code=plan.trusted)


async def _closed(engine: Any, *, running: bool) -> None:
    """Close an engine; `running`: it has a loop of its own, which frees what it has as it ends."""
    engine.close()
    if running:
        # Gathered, since it ends as its loop does: cancelled.
        ended = asyncio.gather(engine.wait_tasks(), return_exceptions=True)
        await asyncio.wait({ended}, timeout=CLOSE_WITHIN)
        if not ended.done():
            log.error("engine.not_closed", within=CLOSE_WITHIN)


async def _checked(answer: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    # Closed here: LMDeploy's generator cancels what its instance is at as it is thrown away, and
    # by then that could be the next answer.
    async with aclosing(answer) as outs:
        async for out in outs:
            if out.status.name not in _WELL:
                kind = EngineDied if out.status.name == "ENGINE_STOP_ERROR" else EngineError
                raise kind(f"LMDeploy ended an answer with {out.status.name}")
            yield out


def _as_dict(top: Any) -> dict[int, float]:
    """TurboMind's way is a dict; the PyTorch engine's is (values, ids), the chosen token first."""
    if isinstance(top, dict):
        return top
    values, ids = top
    return {int(i): float(v) for v, i in zip(values, ids, strict=True)}


def _seed() -> int:
    return int.from_bytes(os.urandom(8), "little")


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
