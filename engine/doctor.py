"""`foodcritic engine doctor`: what this machine can run, with which settings, and what is wrong."""

import asyncio
import importlib.metadata
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from engine import card, choice, copies, hub
from engine.plan import Plan
from foodcritic.errors import FoodcriticError
from foodcritic.settings import Settings

GIB: Final = 2**30
#: Packages whose versions matter here.
PACKAGES: Final = ("lmdeploy", "torch", "transformers", "openvino", "openai")
#: What engine/lmdeploy.py was written for.
LMDEPLOY: Final = "0.18"
#: Bytes on the disk below which a model does not fit.
DISK: Final = 10 * GIB
#: For each CUDA that torch was built for, the oldest driver and the oldest cards.
NEEDS: Final = {12: (525, (7, 0)), 13: (580, (7, 5))}
#: Of a card's memory, what may be taken without a word.
TAKEN: Final = 0.1
#: Of a plan, what an operator may want to know.
SHOWN: Final = (
    *("backend", "dtype", "session_len", "max_batch_size", "cache_max_entry_count"),
    *("max_prefill_token_num", "weight_bits", "quant_policy", "prefix_caching"),
    "own_vision",
)

Level = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    level: Level
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything worth knowing, in order; loads no model and fetches none, but asks the server."""
    for name in PACKAGES:
        version = _version(name)
        if version:
            yield Finding(level="ok", text=f"{name} {version}")
    if not choice.installed():
        yield Finding(level="note", text="LMDeploy is not installed: make gpu")
    elif not (version := _version("lmdeploy") or "").startswith(f"{LMDEPLOY}."):
        text = f"LMDeploy {version} is not the {LMDEPLOY} that foodcritic drives: make gpu"
        yield Finding(level="wrong", text=text)
    cards = card.cards()
    for one in cards:
        major, minor = one.capability
        yield Finding(
            level="ok",
            text=f"GPU {one.index}: {one.name}, {one.free / GIB:.1f} of {one.total / GIB:.1f} GiB "
            f"free, driver {one.driver}, compute capability {major}.{minor}",
        )
        yield from _fits(one)
    if not cards:
        yield Finding(level="note", text="no NVIDIA GPU here, or no driver for it")
    try:
        chosen = choice.choose(settings)
    except FoodcriticError as error:
        yield Finding(level="wrong", text=str(error))
        return
    yield Finding(level="ok", text=f"FOODCRITIC_ENGINE={settings.engine} → {chosen.kind}")
    if chosen.reason:
        yield Finding(level="note", text=chosen.reason)
    if settings.engine == "lmdeploy" and not (cards and choice.installed()):
        text = "FOODCRITIC_ENGINE=lmdeploy cannot work without a GPU and LMDeploy"
        yield Finding(level="wrong", text=text)
    elif chosen.kind == "lmdeploy":
        if (most := settings.gpu_memory_gb) is not None:
            whole = cards[0].total / 1e9
            text = f"FOODCRITIC_GPU_MEMORY_GB={most:g}: of {whole:.0f} GB, all models together"
            yield Finding(level="ok", text=text)
        yield from _model(settings, settings.model or hub.DEFAULT, cards[0])
        if settings.meme_model:
            yield from _model(settings.for_memes(), settings.meme_model, cards[0])
    elif chosen.kind == "openai":
        yield _server(settings)
    elif chosen.kind == "openvino" and settings.model and not chosen.nano:
        yield _folder(settings.model)
    if settings.weight_bits == 8 and chosen.kind != "lmdeploy":
        text = f"FOODCRITIC_WEIGHT_BITS=8 is LMDeploy's on a GPU: {chosen.kind} runs without it"
        yield Finding(level="note", text=text)
    free = shutil.disk_usage(_existing(settings.home)).free
    if free < DISK:
        text = f"{settings.home}: only {free / GIB:.1f} GiB are free on its disk"
        yield Finding(level="note", text=text)


def _fits(one: card.Card) -> Iterator[Finding]:
    """What is in the way of the installed torch on this card."""
    cuda = int(
        (_version("nvidia-cuda-runtime") or _version("nvidia-cuda-runtime-cu12") or "12")[:2]
    )
    driver, oldest = NEEDS.get(cuda, NEEDS[max(NEEDS)])
    if (taken := one.total - one.free) > TAKEN * one.total:
        text = (
            f"GPU {one.index}: {taken / GIB:.1f} GiB are taken (nvidia-smi says by whom); what "
            "foodcritic itself has is counted as taken, too"
        )
        yield Finding(level="note", text=text)
    if one.capability < oldest:
        text = (
            f"GPU {one.index} is too old: torch for CUDA {cuda} needs compute capability "
            f"{oldest[0]}.{oldest[1]} or newer"
        )
        yield Finding(level="wrong", text=text)
    number = one.driver.partition(".")[0]
    if number.isdecimal() and int(number) < driver:
        text = f"driver {one.driver} is too old: torch for CUDA {cuda} needs {driver} or newer"
        yield Finding(level="wrong", text=text)


def _model(settings: Settings, model: str, on: card.Card) -> Iterator[Finding]:
    """The plan for a configured model, if it is on this machine."""
    folder = hub.kept(model, settings)
    if folder is None:
        revision = settings.model_revision or "the newest commit, then always that one"
        text = f"{model} comes from {settings.model_hub} at the first start: {revision}"
        yield Finding(level="note", text=text)
        return
    try:
        plan = choice.planned(settings, model, folder, on)
    except FoodcriticError as error:
        yield Finding(level="wrong", text=str(error))
        return
    name = model
    if folder != hub.local(model):
        name += f" at {folder.name}"
    shown = ", ".join(f"{key}={getattr(plan, key)}" for key in SHOWN)
    yield Finding(level="ok", text=f"{name}: {shown}")
    if settings.kv_bits == 8 and plan.quant_policy != 8:
        text = f"FOODCRITIC_KV_BITS=8 is TurboMind's: {name} runs without it"
        yield Finding(level="note", text=text)
    if settings.weight_bits == 8:
        yield _eight(settings, folder, on, plan)
        if plan.weight_bits == 8 and (why := copies.failure(settings.models, model)):
            text = f"{model} ran in 16 bits when it was last started: {why}; the next start tries 8"
            yield Finding(level="note", text=text)
    if plan.roomy:
        text = (
            "there is room for a second model beside it: a new version takes over without a pause"
        )
    else:
        text = "no room for a second model beside it: a new version takes over once answers ended"
    yield Finding(level="ok", text=text)


def _eight(settings: Settings, folder: Path, on: card.Card, plan: Plan) -> Finding:
    """What comes of FOODCRITIC_WEIGHT_BITS=8 for a model."""
    if plan.weight_bits != 8:
        reason = choice.sixteen(folder, on)
        return Finding(
            level="note", text=f"FOODCRITIC_WEIGHT_BITS=8: {reason}; its weights stay as they are"
        )
    try:
        if copy := copies.there(folder, settings.models, plan.dtype):
            return Finding(level="ok", text=f"its weights in 8 bits: {copy}")
        copies.room(folder, settings.models)
    except (FoodcriticError, OSError) as error:
        return Finding(level="note", text=f"{error}; it runs in 16 bits")
    text = f"its weights in 8 bits are written to {settings.models / '8bit'} at the first start"
    return Finding(level="ok", text=text)


def _folder(model: str) -> Finding:
    """Whether the CPU engine can run the configured folder."""
    from engine import export

    try:
        export.check(hub.local(model))
    except FoodcriticError as error:
        return Finding(level="wrong", text=str(error))
    return Finding(level="ok", text=f"{model} can be served on the CPU")


def _server(settings: Settings) -> Finding:
    """Whether the server at FOODCRITIC_ENGINE_URL answers, and with what."""
    from engine.openai import connect

    async def look() -> str:
        engine = await connect(settings)
        try:
            return f"{settings.engine_url} serves {engine.model}, {engine.context} tokens"
        finally:
            await engine.close()

    try:
        return Finding(level="ok", text=asyncio.run(look()))
    except FoodcriticError as error:
        return Finding(level="wrong", text=str(error))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
