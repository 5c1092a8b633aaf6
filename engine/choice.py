"""Which engine answers, and loading it: the rules of FOODCRITIC_ENGINE.

```
 openvino | lmdeploy | openai   as said; what is missing is an error
 auto ─▶ FOODCRITIC_ENGINE_URL?            ─▶ openai
      ─▶ a GPU, LMDeploy, a model for it?  ─▶ lmdeploy
      ─▶                                      openvino, with the reason when a GPU stands idle,
                                              or when nano answers instead of a model for GPUs
```
"""

import asyncio
import contextlib
import gc
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import structlog

from engine import Engine, card, export_kind, hub, nano
from foodcritic import registry
from foodcritic.errors import FoodcriticError, ModelError, SettingsError
from foodcritic.settings import Settings

if TYPE_CHECKING:
    from engine.plan import Plan

log = structlog.get_logger(__name__)

Kind = Literal["openvino", "lmdeploy", "openai"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An engine, and why not a faster one where there could be one."""

    kind: Kind
    reason: str = ""
    #: Whether the bundled nano model answers instead of the configured one.
    nano: bool = False


def choose(settings: Settings) -> Choice:
    """What the settings come to on this machine; loads and fetches nothing."""
    if settings.engine != "auto":
        return Choice(kind=settings.engine)
    if settings.engine_url:
        return Choice(kind="openai")
    kind = export_kind(hub.local(settings.model)) if settings.model else ""
    if kind == "openvino":
        return Choice(kind="openvino")
    found = card.cards()
    idle = f"{found[0].name} stands idle: `make gpu` installs LMDeploy" if found else ""
    if not found or not installed():
        if settings.model and not kind and hub.NAME.fullmatch(settings.model):
            why = idle or f"{settings.model} needs an NVIDIA GPU, and there is none"
            return Choice(kind="openvino", reason=f"{why}; nano answers instead", nano=True)
        return Choice(kind="openvino", reason=idle)
    model = settings.model or hub.DEFAULT
    if not settings.model and model not in settings.trusted_models:
        return Choice(
            kind="openvino",
            reason=f"{found[0].name} stands idle: name a model with FOODCRITIC_MODEL, or allow "
            f"{model} its own code with FOODCRITIC_TRUSTED_MODELS={model}",
        )
    return Choice(kind="lmdeploy")


def named(settings: Settings) -> str | None:
    """The configured model, or what stands for it on this machine; None: a server knows."""
    if settings.model:
        return settings.model
    kind = choose(settings).kind
    return None if kind == "openai" else hub.DEFAULT if kind == "lmdeploy" else registry.NANO


def served(settings: Settings, engine: Engine) -> str:
    """The same, of an engine that was loaded by these settings: `load` may have fallen back."""
    if settings.model and (engine.model != registry.NANO or _is_nano(settings.model)):
        return settings.model
    return hub.DEFAULT if engine.model == hub.DEFAULT.rpartition("/")[2] else engine.model


def _is_nano(model: str) -> bool:
    return hub.local(model).resolve() == nano.MODEL or hub.local(model).name == registry.NANO


def installed() -> bool:
    """Whether LMDeploy is."""
    return importlib.util.find_spec("lmdeploy") is not None


async def load(settings: Settings) -> Engine:
    """The engine that the settings name, ready to answer; see `engine.load`."""
    chosen = choose(settings)
    if chosen.reason:
        log.warning("engine.slower", reason=chosen.reason)
    if chosen.kind == "openai":
        from engine.openai import connect

        return await connect(settings)
    if chosen.kind == "lmdeploy":
        try:
            return await _lmdeploy(settings)
        except (FoodcriticError, ImportError, OSError) as error:  # or a library is broken
            if settings.engine != "auto":
                raise
            log.warning("engine.fallback", engine="nano", reason=str(error))
            chosen = replace(chosen, nano=True)
    return await _openvino(settings.model_copy(update={"model": None}) if chosen.nano else settings)


async def _openvino(settings: Settings) -> Engine:
    from engine import openvino

    return await asyncio.to_thread(
        openvino.load,
        hub.local(settings.model) if settings.model else nano.MODEL,
        settings.models,
        max_tiles=settings.max_tiles,
        concurrency=settings.concurrency or openvino.CONCURRENCY,
    )


async def _lmdeploy(settings: Settings) -> Engine:
    if not installed():
        raise SettingsError("FOODCRITIC_ENGINE=lmdeploy needs LMDeploy: make gpu")
    found = card.cards()
    if not found:
        raise SettingsError("FOODCRITIC_ENGINE=lmdeploy needs an NVIDIA GPU and its driver")
    # Cards are counted as the driver counts them; CUDA's own order is by speed.
    os.environ.setdefault("CUDA_DEVICE_ORDER", card.ORDER)
    from engine import copies, folder, gpu, lmdeploy, text

    model = settings.model or hub.DEFAULT
    path = await asyncio.to_thread(hub.find, model, settings)
    plan = await asyncio.to_thread(planned, settings, model, path, found[0])

    def loading() -> tuple[lmdeploy.LMDeploy, text.Tokenizer]:
        if (path / "tokenizer.json").is_file():
            words: text.Tokenizer = text.tokenizer(path)
        else:  # Only transformers reads its tokenizer, with code of the model's own.
            words = lmdeploy.tokenizer(path, trusted=plan.trusted)
        picture = folder.shape(path, words).picture
        with weights(path, plan, settings.models) as stored:
            return lmdeploy.load(stored, plan, picture), words

    async def loaded() -> tuple[lmdeploy.LMDeploy, text.Tokenizer]:
        log.info("engine.loading", model=model, **settings_of(plan))
        return await asyncio.to_thread(loading)

    if settings.weight_bits == 8 and plan.weight_bits != 8:
        log.warning("engine.weights_as_they_are", reason=sixteen(path, found[0]))
    while True:
        try:
            runner, words = await loaded()
            if plan.weight_bits == 8:
                copies.told(settings.models, model, None)
            break
        except ModelError as error:
            if plan.weight_bits != 8:
                raise
            log.warning("engine.weights_as_they_are", reason=str(error))
            copies.told(settings.models, model, str(error))
        gc.collect()  # what was loaded of it takes the card's memory
        usual = settings.model_copy(update={"weight_bits": 16})
        plan = await asyncio.to_thread(planned, usual, model, path, (card.cards() or found)[0])
    return gpu.GPU(
        runner,
        path,
        name=hub.called(model, path),
        tokenizer=words,
        max_tiles=settings.max_tiles,
        first_word=settings.first_word_seconds or None,
        dtype=plan.dtype,
    )


def planned(
    settings: Settings, model: str, path: Path, on: card.Card, *, alone: bool = False
) -> "Plan":
    """The plan for a model on a card, with its backend; `alone`: no other ever comes beside it.

    Raises:
        ModelError: it does not fit, or wants to run code that is not allowed.
    """
    from engine import plan, text

    allowed, config = hub.trusted(model, path, settings), text.read(path / "config.json")
    _refused(model, path, config, allowed=allowed)
    turbomind = _turbomind(config)
    beside, most = bool(settings.meme_model) and not alone, None
    if settings.gpu_memory_gb is not None:
        most = int(settings.gpu_memory_gb * 1e9) // (2 if beside else 1)
    made = plan.make(
        path,
        on,
        kv_bits=settings.kv_bits if turbomind else 16,
        weight_bits=8 if settings.weight_bits == 8 and not sixteen(path, on) else 16,
        trusted=allowed,
        beside=beside,
        alone=alone,
        most=most,
    )
    if not turbomind:
        return replace(made, backend="pytorch", prefix_caching=False)
    return replace(made, own_vision=any(path.glob("*.safetensors")))


def exclusive(settings: Settings) -> bool:
    """Whether the settings come to a model that has its card for itself; loads and fetches nothing.

    Of a model that was never here it is not known: False.
    """
    model, found = settings.model or hub.DEFAULT, card.cards()
    if choose(settings).kind != "lmdeploy" or not found or not installed():
        return False
    if (path := hub.kept(model, settings)) is None:
        return False
    os.environ.setdefault("CUDA_DEVICE_ORDER", card.ORDER)  # before LMDeploy is looked at
    try:
        return not planned(settings, model, path, replace(found[0], free=found[0].total)).roomy
    except ModelError:
        return False


def sixteen(path: Path, on: card.Card) -> str:
    """Why a model's weights are in 16 bits on a card, whatever is set; "": they can be in 8."""
    from engine import fp8, text

    config = text.read(path / "config.json")
    if not _turbomind(config):
        return "8-bit weights are TurboMind's, and LMDeploy's PyTorch engine serves this model"
    if on.capability < fp8.CAPABILITY:
        has, needs = ("{}.{}".format(*one) for one in (on.capability, fp8.CAPABILITY))
        return f"8-bit weights need compute capability {needs} or newer, {on.name} has {has}"
    return fp8.refused(path, config)


@contextlib.contextmanager
def weights(path: Path, made: "Plan", models: Path) -> Iterator[Path]:
    """The folder that LMDeploy loads by a plan: the model's own, or its copy in 8 bits.

    Raises:
        ModelError: there is no copy, and none can be made.
    """
    if made.weight_bits != 8:
        yield path
        return
    from engine import copies

    if not copies.there(path, models, made.dtype):
        log.info("weights.writing", source=str(path), bits=8)
    with copies.held(path, models, made.dtype) as copy:
        yield copy


def _turbomind(config: dict[str, Any]) -> bool:
    from engine import lmdeploy

    language = ((config.get("llm_config") or {}).get("architectures") or [""])[0]
    return lmdeploy.turbomind_serves(str(language), str(config.get("ps_version", "")))


def _refused(model: str, path: Path, config: dict[str, Any], *, allowed: bool) -> None:
    """Raise a ModelError for a folder that LMDeploy would fail at in other words."""
    if not config and (path / "adapter_config.json").is_file():
        raise ModelError(f"{model} is a LoRA adapter alone: merge it into its model first")
    kind = (config.get("architectures") or ["InternVLChatModel"])[0]
    if kind != "InternVLChatModel":
        raise ModelError(
            f"{model} is {kind}, which is not served: of InternVL take OpenGVLab's own format, "
            "InternVLChatModel (the name without -HF)"
        )
    # With a tokenizer of the usual kind, too: LMDeploy cannot read such a config.json without it.
    if not allowed and hub.brings_code(path):
        raise ModelError(
            f"{model} brings Python code of its own: read it, then allow it with "
            f"FOODCRITIC_TRUSTED_MODELS={model}"
        )
    if other := hub.borrows_code(path):
        raise ModelError(
            f"{model} wants to run code of {other}, whatever that is by then: copy its .py files "
            f"into the folder and take {other}-- out of config.json and tokenizer_config.json"
        )


def settings_of(made: "Plan") -> dict[str, object]:
    """A plan for a log line."""
    shown = ("backend", "dtype", "session_len", "max_batch_size", "cache_max_entry_count")
    more = ("weight_bits", "quant_policy", "own_vision")
    return {name: getattr(made, name) for name in (*shown, *more)}
