"""Recipes: what to train and how fast, as TOML data in ``recipes/``, read into frozen values.

recipe.load("nano-full", {"optimizer.lr": "3e-4"})  ->  Recipe
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recipes"


class RecipeError(Exception):
    """A recipe that cannot be read or makes no sense; the message names the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Low-rank adapters on every linear layer of the language model."""

    r: int
    alpha: int
    dropout: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    #: Freeze the language model's own weights (its adapters, if any, still train).
    freeze_llm: bool = False
    freeze_vision: bool = False
    #: Load the language model in 4 bits (QLoRA); needs ``lora`` and an NVIDIA GPU.
    quantize_llm: bool = False
    #: Type of the weights that the optimizer steps on: "bf16" as XTuner loads them, or "fp32".
    weights: str = "bf16"
    #: Trade a second forward pass for memory.
    checkpoint_activations: bool = True
    #: Compute logits only at positions with a label: the same loss, without gigabytes of zeros.
    head_on_labels: bool = True
    #: Keep on the disk what a frozen vision encoder made of each photo (bounded by a setting).
    cache_features: bool = True
    #: Let torch fuse the decoder's layers; a minute at the start, on a GPU only.
    compile: bool = False
    #: Forward passes of a run from which on that is worth its minute: shorter ones go without.
    compile_from: int = 0
    lora: Lora | None = None
    #: Of the way from the base's weights to the trained ones that the result goes: less forgets
    #: less (WiSE-FT: Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    #: Tokens; a longer record is cut, as XTuner cuts it.
    max_length: int = 8192
    #: Records per GPU and forward pass.
    batch_size: int = 4
    #: Forward passes per optimizer step.
    accumulate: int = 1
    #: Passes over the data; ``iterations``, if given, wins.
    epochs: float = 1.0
    #: Forward passes in all, whatever the size of the data.
    iterations: int | None = None
    #: Loader processes; never more than there are cores.
    workers: int = 4
    #: Send photos at their own size and enlarge them beside the model (one-tile models only).
    device_resize: bool = False
    #: Random crops and flips, on the device (needs ``device_resize``).
    augment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    lr: float
    #: The vision encoder's share of ``lr``.
    vision_lr: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.05
    max_norm: float = 1.0
    #: Share of the steps that the rate climbs from almost 0; a cosine then takes it back to 0.
    warmup_ratio: float = 0.03
    #: Arithmetic of the forward pass on a GPU: "bf16", "fp16" (dynamic loss scale) or "fp32".
    precision: str = "bf16"
    #: "zero1", "zero2", "zero3" or None; ignored on a CPU.
    deepspeed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    #: Forward passes between checkpoints.
    every: int = 500
    #: Checkpoints that stay on disk.
    keep: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    name: str
    description: str
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    optimizer: Optimizer
    save: Save = field(default_factory=Save)
    seed: int = 0


def names() -> list[str]:
    """The recipes that come with us."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str, overrides: dict[str, str] | None = None) -> Recipe:
    """Read a recipe by name or path; ``overrides`` maps dotted keys to TOML literals.

    Raises RecipeError when the file, a key or a value is not what a recipe holds.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(f"no recipe {name!r}: there are {', '.join(names())}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is no TOML: {error}") from error
    for key, text in (overrides or {}).items():
        *parents, leaf = key.split(".")
        node = table
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise RecipeError(f"{key}: {parent} is a value, and has no keys")
        node[leaf] = _literal(key, text)
    recipe: Recipe = _read(Recipe, {"name": path.stem, **table}, path.stem)
    _check(recipe)
    return recipe


def _literal(key: str, text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{key}={text}: write the value as TOML does") from error


def _read(kind: Any, table: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise RecipeError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(hints)}")
    values = {}
    for key, value in table.items():
        values[key] = _convert(hints[key], value, f"{where}.{key}")
    try:
        return kind(**values)
    except TypeError as error:
        raise RecipeError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(value, dict):
            return _read(option, value, where)
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if typing.get_origin(option) is tuple and isinstance(value, list):
            return tuple(float(item) for item in value)
        if option in (int, str, bool) and type(value) is option:
            return value
    raise RecipeError(f"{where} cannot be {value!r}")


def _check(recipe: Recipe) -> None:
    model, data, optimizer = recipe.model, recipe.data, recipe.optimizer
    if model.quantize_llm and not model.lora:
        raise RecipeError("model.quantize_llm needs model.lora: 4-bit weights cannot be trained")
    if model.lora and not model.freeze_llm:
        raise RecipeError("model.lora needs model.freeze_llm = true")
    if not 0 < model.share <= 1:
        raise RecipeError(f"model.share cannot be {model.share!r}: it is above 0 and at most 1")
    if model.share < 1 and model.lora:
        raise RecipeError("model.share is for whole weights: give model.lora a smaller alpha")
    if data.augment and not data.device_resize:
        raise RecipeError("data.augment needs data.device_resize = true")
    choices = {
        "model.weights": (model.weights, ("bf16", "fp32")),
        "optimizer.precision": (optimizer.precision, ("bf16", "fp16", "fp32")),
        "optimizer.deepspeed": (optimizer.deepspeed, (None, "zero1", "zero2", "zero3")),
    }
    for key, (value, allowed) in choices.items():
        if value not in allowed:
            raise RecipeError(f"{key} cannot be {value!r}: {allowed}")
    if model.compile and optimizer.deepspeed == "zero3":
        raise RecipeError(
            "model.compile and zero3 do not go together: zero3 gathers weights by hooks"
        )
    positive = {
        "data.max_length": data.max_length,
        "data.batch_size": data.batch_size,
        "data.accumulate": data.accumulate,
        "data.iterations": 1 if data.iterations is None else data.iterations,
        "save.every": recipe.save.every,
        "save.keep": recipe.save.keep,
    }
    for key, number in positive.items():
        if number < 1:
            raise RecipeError(f"{key} must be at least 1")
    for key, amount in {"data.epochs": data.epochs, "optimizer.lr": optimizer.lr}.items():
        if not 0 < amount < math.inf:
            raise RecipeError(f"{key} cannot be {amount!r}: it is a number above 0")
    if not 0 <= optimizer.warmup_ratio < 1:
        raise RecipeError(f"optimizer.warmup_ratio cannot be {optimizer.warmup_ratio!r}: 0 to 1")
    if recipe.save.every % data.accumulate:
        raise RecipeError(
            "save.every must be a multiple of data.accumulate: a checkpoint holds no gradients"
        )
