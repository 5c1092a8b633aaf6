"""What is compared: our engine, and LMDeploy and transformers as one finds them.

Each is opened once and asked by any number of users at once, except those that take one request at
a time or a list of them (`batch`).
"""

import asyncio
import base64
import contextlib
import io
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

QUESTION = "What is this dish, how does it taste, and how well was it made?"
#: Tokens of every answer.
NEW = 128
PORT = 23399


@dataclass
class Ours:
    """engine.gpu over engine.lmdeploy, as the worker runs it."""

    folder: Path
    plan: dict[str, Any] = field(default_factory=dict)
    #: Tokens that were written, by anybody.
    written: int = 0
    prompts: list[int] = field(default_factory=list)

    async def open(self) -> None:
        from engine import copies, gpu, lmdeploy, text
        from engine import folder as folders
        from engine.plan import Plan

        words = text.tokenizer(self.folder)
        shape = folders.shape(self.folder, words)
        given = dict(self.plan)
        how = {"at_once": given.pop("at_once")} if "at_once" in given else {}
        usual = {"cache_max_entry_count": 0.5, "own_vision": True}
        plan = Plan(trusted=True, **(usual | given))
        models = self.folder.with_name(f"{self.folder.name}-models")

        def load() -> lmdeploy.LMDeploy:
            small = copies.held(self.folder, models, plan.dtype)
            with small if plan.weight_bits == 8 else contextlib.nullcontext(self.folder) as stored:
                return lmdeploy.load(stored, plan, shape.picture)

        self.runner: Any = await asyncio.to_thread(load)
        self.engine = gpu.GPU(self.runner, self.folder, name="2b", tokenizer=words, **how)
        inner = self.runner.stream

        async def counted(prompt: Any, *rest: Any) -> AsyncIterator[list[int]]:
            self.prompts.append(len(prompt.ids))
            async for ids in inner(prompt, *rest):
                self.written += len(ids)
                yield ids

        self.runner.stream = counted

    async def ask(
        self, photos: Sequence[bytes], said: Sequence[tuple[str, str]] = ()
    ) -> AsyncIterator[str]:
        from engine import Generation, Message

        turns = [Message(role="user", text=QUESTION, images=tuple(photos))]
        for answer, question in said:
            turns += [Message(role="assistant", text=answer), Message(role="user", text=question)]
        how = Generation(greedy=True, max_new_tokens=NEW)
        async for piece in self.engine.stream(turns, how):
            yield piece

    async def close(self) -> None:
        await self.engine.close()


@dataclass
class Server:
    """`lmdeploy serve api_server`, asked over HTTP as anybody would."""

    folder: Path
    backend: str = "turbomind"
    extra: Sequence[str] = ()
    #: Of the free memory, what keys and values get.
    cache: float = 0.5
    port: int = PORT
    written: int = 0
    prompts: list[int] = field(default_factory=list)

    async def open(self) -> None:
        import httpx

        command = [sys.executable, "-m", "lmdeploy", "serve", "api_server", str(self.folder)]
        command += [
            "--server-port",
            str(self.port),
            "--backend",
            self.backend,
            "--trust-remote-code",
        ]
        command += [
            "--model-name",
            "critic",
            "--cache-max-entry-count",
            str(self.cache),
            *self.extra,
        ]
        log = Path(os.environ.get("BENCH_LOGS", "/tmp")) / f"api_server-{self.backend}.log"
        self.process = subprocess.Popen(  # noqa: ASYNC220
            command, stdout=log.open("wb"), stderr=subprocess.STDOUT
        )
        url = f"http://127.0.0.1:{self.port}"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self.http = httpx.AsyncClient(base_url=url, timeout=600, limits=limits)
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(log.read_text()[-2000:])
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/health", timeout=5).read()  # noqa: ASYNC210
                return
            await asyncio.sleep(0.5)

    async def ask(
        self, photos: Sequence[bytes], said: Sequence[tuple[str, str]] = ()
    ) -> AsyncIterator[str]:
        shown = [
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + _base64(photo)}}
            for photo in photos
        ]
        turns: list[Any] = [
            {"role": "user", "content": [*shown, {"type": "text", "text": QUESTION}]}
        ]
        for answer, question in said:
            turns += [
                {"role": "assistant", "content": answer},
                {"role": "user", "content": question},
            ]
        asked = {"model": "critic", "messages": turns, "stream": True, "temperature": 0}
        asked |= {"max_tokens": NEW, "stream_options": {"include_usage": True}}
        async with self.http.stream("POST", "/v1/chat/completions", json=asked) as reply:
            reply.raise_for_status()
            async for line in reply.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                if event.get("usage"):
                    self.written += event["usage"]["completion_tokens"]
                    self.prompts.append(event["usage"]["prompt_tokens"])
                for choice in event["choices"]:
                    if piece := choice["delta"].get("content"):
                        yield piece

    async def close(self) -> None:
        await self.http.aclose()
        self.process.terminate()
        self.process.wait(30)


@dataclass
class Pipeline:
    """LMDeploy's `pipeline`, given all requests as one list; `chat`: one after another."""

    folder: Path
    backend: str = "turbomind"
    cache: float = 0.5

    def open(self) -> None:
        from lmdeploy import PytorchEngineConfig, TurbomindEngineConfig, pipeline

        kind = TurbomindEngineConfig if self.backend == "turbomind" else PytorchEngineConfig
        config = kind(cache_max_entry_count=self.cache)
        self.pipe = pipeline(str(self.folder), backend_config=config, trust_remote_code=True)

    def batch(self, photos: Sequence[bytes]) -> int:
        """Answers all; tokens written."""
        from lmdeploy import GenerationConfig

        how = GenerationConfig(max_new_tokens=NEW)
        asked = [(_image(photo), QUESTION) for photo in photos]
        return sum(out.generate_token_len for out in self.pipe(asked, gen_config=how))

    def chat(self, photos: Sequence[bytes]) -> int:
        """Answers one after another, as the tutorial does."""
        from lmdeploy import GenerationConfig

        how = GenerationConfig(max_new_tokens=NEW)
        said = [self.pipe.chat((QUESTION, _image(photo)), gen_config=how) for photo in photos]
        return sum(session.response.generate_token_len for session in said)

    def close(self) -> None:
        self.pipe.close()


@dataclass
class Transformers:
    """transformers' `generate` over the checkpoint's own code, one request at a time."""

    folder: Path

    def open(self) -> None:
        import torch
        from transformers import AutoModel

        from engine import folder as folders
        from engine import text

        self.torch = torch
        self.model = AutoModel.from_pretrained(
            self.folder, trust_remote_code=True, dtype=torch.bfloat16
        )
        self.model = self.model.cuda().eval()
        self.words, self.template = text.tokenizer(self.folder), text.Template(self.folder)
        self.shape = folders.shape(self.folder, self.words)
        self.model.img_context_token_id = self.shape.picture

    def chat(self, photos: Sequence[bytes]) -> int:
        from engine import Message, tiling

        for photo in photos:
            pixels = self.torch.tensor(tiling.normalised(tiling.tiles(_image(photo))))
            count = len(pixels) * self.shape.tokens
            asked = [Message(role="user", text=QUESTION, images=(photo,))]
            ids = self.torch.tensor([self.words.encode(self.template.render(asked, [[count]]))])
            with self.torch.inference_mode():
                self.model.generate(
                    pixels.to("cuda", self.torch.bfloat16),
                    ids.cuda(),
                    self.torch.ones_like(ids).cuda(),
                    max_new_tokens=NEW,
                    do_sample=False,
                    pad_token_id=2,
                )
        return NEW * len(photos)

    def close(self) -> None:
        del self.model


def memory() -> int:
    """MiB of the card in use, by anybody."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    )


def _base64(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def _image(photo: bytes) -> Image.Image:
    return Image.open(io.BytesIO(photo)).convert("RGB")


def now() -> float:
    return time.perf_counter()
