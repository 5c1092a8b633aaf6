"""Driving LMDeploy's engines: what they hand back, keep and let go of, as LMDeploy 0.18 does it."""

import asyncio
import gc
import io
import logging
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from engine import Generation, turbomind
from engine.lmdeploy import LMDeploy, load
from engine.plan import Plan
from engine.runner import Prompt
from foodcritic.errors import EngineError, ModelError

#: What `Request` in request.h calls them.
FINISH, CANCEL, TOO_LONG = 7, 8, 6
NAMES = {0: "SUCCESS", FINISH: "FINISH", CANCEL: "CANCEL", TOO_LONG: "INPUT_LENGTH_ERROR"}
ENDS = frozenset({99})
#: A prompt that is answered for ever.
ENDLESS = 1000


@dataclass
class Request:
    """A request in TurboMind: its tokens come one by one; the prompt [6] is too long."""

    ids: list[int]
    tokens: int = 0
    status: int = 0

    def step(self) -> tuple[int, int]:
        if not self.status and self.ids == [TOO_LONG]:
            self.status = TOO_LONG
        elif not self.status:
            self.tokens += 1
            self.status = FINISH if self.tokens == 10 and self.ids != [ENDLESS] else 0
        return self.status, self.tokens


@dataclass
class Instance:
    """`TurboMindInstance`: one request at a time, of which it cancels the newest."""

    tm_model: Any
    request: Request | None = None

    async def async_cancel(self, session: int) -> None:
        self.cancel()

    def cancel(self) -> None:
        if self.request is not None and not self.request.status:
            self.request.status = CANCEL

    async def async_stream_infer(
        self, session: int, input_ids: list[int], **how: Any
    ) -> AsyncGenerator[Any, None]:
        self.request = request = Request(input_ids)
        status = 0
        try:
            while not status:
                await asyncio.sleep(0)
                status, tokens = request.step()
                if status not in (0, FINISH, CANCEL):
                    yield SimpleNamespace(status=SimpleNamespace(name=NAMES[status]), token_ids=[])
                    break
                ids = [] if status == CANCEL else [tokens]
                yield SimpleNamespace(status=SimpleNamespace(name=NAMES[status]), token_ids=ids)
        except (GeneratorExit, asyncio.CancelledError):
            self.cancel()
        finally:
            while not status:
                await asyncio.sleep(0)
                status, _ = request.step()


@dataclass
class Engine:
    """LMDeploy's PyTorch engine, as it is begun and ended: by a task, which frees what it has."""

    held: list[str]
    _loop_main: asyncio.Task[None] | None = None

    def start_loop(self) -> None:
        self._loop_main = asyncio.create_task(self.async_loop())

    async def async_loop(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # its own tasks end first
            self.held.remove("pytorch")

    def close(self) -> None:
        if self._loop_main is not None:
            self._loop_main.cancel()
        else:
            self.held.remove("pytorch")

    async def wait_tasks(self) -> None:
        assert self._loop_main is not None
        await self._loop_main

    def create_instance(self) -> Instance:
        return Instance(self)


@dataclass
class TurboMind:
    """TurboMind as it is ended: its weights are freed when nobody has it any more."""

    held: list[str]
    source_model: Any = field(default=None)

    def close(self) -> None: ...

    def create_instance(self) -> Instance:
        return Instance(self)

    def __del__(self) -> None:
        self.held.remove("turbomind")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is on the GPU; `emptied` says what was, as torch let go of what nobody uses."""
    held = list[str]()

    def module(name: str, **members: Any) -> None:
        made = ModuleType(name)
        vars(made).update(members)
        monkeypatch.setitem(sys.modules, name, made)

    def config(**settings: Any) -> SimpleNamespace:
        return SimpleNamespace(**settings)

    def loads(kind: Any) -> Any:
        def from_pretrained(folder: str, **_: Any) -> Any:
            held.append(kind.__name__.lower().replace("engine", "pytorch"))
            made = kind(held)
            made.myself = made  # as models and their parts know each other
            return made

        return SimpleNamespace(from_pretrained=from_pretrained)

    def empty_cache() -> None:
        held.append("emptied with " + ",".join(held))

    cuda = SimpleNamespace(empty_cache=empty_cache)
    module("torch", set_num_threads=int, float16=16, bfloat16=16, cuda=cuda)
    module("lmdeploy")
    configs = ("GenerationConfig", "TurbomindEngineConfig", "PytorchEngineConfig")
    module("lmdeploy.messages", **dict.fromkeys(configs, config))
    module("lmdeploy.turbomind", TurboMind=loads(TurboMind))
    module("lmdeploy.pytorch")
    module("lmdeploy.pytorch.engine", Engine=loads(Engine))
    return held


def loaded(backend: Any = "turbomind") -> LMDeploy:
    return load(Path("model"), Plan(backend=backend), image_token=0)


async def said(runner: LMDeploy, *ids: int) -> list[int]:
    found = list[int]()
    async with aclosing(runner.stream(Prompt(ids=[*ids]), Generation(), ENDS)) as steps:
        async for some in steps:
            found += some
    return found


@pytest.mark.usefixtures("held")
async def test_an_answer_that_failed_does_not_cut_off_the_next_one() -> None:
    """LMDeploy's generator cancels what its instance is at, whenever it is thrown away."""
    runner = loaded()
    try:
        await said(runner, TOO_LONG)
    except EngineError as error:
        failed: EngineError | None = error  # as a log or a retry keeps it
    assert "INPUT_LENGTH_ERROR" in str(failed)
    found = list[int]()
    async with aclosing(runner.stream(Prompt(ids=[1]), Generation(), ENDS)) as steps:
        async for some in steps:
            found += some
            failed = None
            gc.collect()
    assert found == [*range(1, 11)]


async def test_the_pytorch_engine_has_let_go_of_the_gpu_once_it_is_closed(held: list[str]) -> None:
    runner = loaded("pytorch")
    await said(runner, 1)
    await runner.close()
    assert held == ["emptied with "], "and torch of what it had"


async def test_an_engine_that_nobody_asked_is_closed_too(held: list[str]) -> None:
    runner = loaded("pytorch")
    await runner.close()
    assert held == ["emptied with "]


@pytest.fixture
def stdout() -> Iterator[io.StringIO]:
    """Where LMDeploy's lines go, once its utils.get_logger has seen to that."""
    logger, written = logging.getLogger("lmdeploy"), io.StringIO()
    before = logger.level, logger.propagate
    logger.addHandler(handler := logging.StreamHandler(written))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield written
    logger.removeHandler(handler)
    logger.level, logger.propagate = before


@pytest.mark.usefixtures("held")
def test_what_lmdeploy_logs_is_in_the_log_and_not_in_an_answer(
    stdout: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    """`foodcritic ask --json` prints one object and nothing else."""
    loaded()
    lines = logging.getLogger("lmdeploy")
    lines.info("[async_stream_infer] session 1 start")
    lines.warning("the current version of transformers is lower than the required one")
    assert not stdout.getvalue()
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Have the engines fail once their weights are on the GPU."""
    usual = sys.modules["lmdeploy.turbomind"].TurboMind

    def from_pretrained(folder: str, **how: Any) -> Any:
        made = usual.from_pretrained(folder, **how)
        if made:
            raise error

    for name, kind in (("turbomind", "TurboMind"), ("pytorch.engine", "Engine")):
        fake = SimpleNamespace(from_pretrained=from_pretrained)
        monkeypatch.setattr(sys.modules[f"lmdeploy.{name}"], kind, fake)


def test_what_could_not_be_loaded_leaves_the_gpu_to_what_is_loaded_instead(
    held: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, RuntimeError("CUDA out of memory"))
    with pytest.raises(ModelError, match="out of memory") as failed:
        loaded()
    assert held == ["emptied with "], "while its error is known"
    assert failed.value.__cause__ is not None


@pytest.mark.usefixtures("held")
def test_a_check_of_lmdeploys_that_exits_ends_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """BaseChecker.log_and_exit: a version could not be rolled back, nor nano take its place."""
    failing(monkeypatch, SystemExit(1))
    with pytest.raises(ModelError, match="SystemExit"):
        loaded("pytorch")


async def test_turbomind_has_let_go_of_the_gpu_once_it_is_closed(held: list[str]) -> None:
    runner = loaded()
    await said(runner, 1)
    with suppress(EngineError):
        await said(runner, TOO_LONG)
    await runner.close()
    assert held == ["emptied with "]


async def test_an_answer_that_is_open_still_does_not_keep_the_gpu(held: list[str]) -> None:
    """Answers get two minutes to end; LMDeploy itself drops what is open and tells nobody."""
    runner, begun = loaded(), asyncio.Event()

    async def ask() -> None:
        with suppress(EngineError):
            async with aclosing(runner.stream(Prompt(ids=[ENDLESS]), Generation(), ENDS)) as steps:
                async for _ in steps:
                    begun.set()

    asking = asyncio.create_task(ask())
    await begun.wait()
    await runner.close()
    assert held == ["emptied with "]
    await asking


async def test_two_models_that_are_loaded_at_once_both_get_our_encoder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As those of critique and memes are when a training run gives the GPU back."""

    class Theirs: ...

    builders = (
        *("AttentionBuilder", "Builder", "LayerNormBuilder", "ModuleListBuilder"),
        *("ModuleListConfig", "VisionModelBuilder", "make_layer_norm_config"),
    )
    needed: dict[str, tuple[str, ...]] = {
        **{"": (), ".builders": builders, ".builders._base": ("ParallelGroup", "SplitSide")},
        **{".builders.linear": ("Linear",), ".weight_format": ("TrivialFormat",), ".models": ()},
    }
    for name, members in needed.items():
        made = ModuleType(f"lmdeploy.turbomind{name}")
        vars(made).update(dict.fromkeys(members))
        monkeypatch.setitem(sys.modules, made.__name__, made)
    for name in ("torch", "lmdeploy"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    internvl: Any = SimpleNamespace(LegacyInternVitVisionModel=Theirs)
    vars(sys.modules["lmdeploy.turbomind.models"])["internvl"] = internvl
    second, found = threading.Event(), list[type]()

    def from_pretrained(folder: str, **_: Any) -> None:
        if folder == "first":
            second.wait(0.3)  # until the other one begins, if it does
        else:
            second.set()
            time.sleep(0.1)
        found.append(internvl.LegacyInternVitVisionModel)

    tm = SimpleNamespace(from_pretrained=from_pretrained)
    vars(sys.modules["lmdeploy.turbomind"])["TurboMind"] = tm
    first = asyncio.create_task(asyncio.to_thread(turbomind.load, Path("first"), 0, trusted=False))
    await asyncio.sleep(0.05)
    await asyncio.to_thread(turbomind.load, Path("second"), 0, trusted=False)
    await first
    assert Theirs not in found
    assert internvl.LegacyInternVitVisionModel is Theirs
