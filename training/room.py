"""Whether a run fits the disk and the memory before it starts, and what to set if it does not."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import Any, Final

from foodcritic.settings import Settings
from training.environment import FOLDER, Environment, TrainingError

#: Bytes of a checkpoint per trained weight: float32 itself and AdamW's two moments.
STATE: Final = 12
#: Share of the language model's weights that the adapters of the widest recipe add.
ADAPTED: Final = 0.1
#: Bytes that a forward pass needs at the least beside the weights.
ACTIVATIONS: Final = 2 * 10**9


def config(base: Path) -> dict[str, Any]:
    """The base's config.json; raises TrainingError."""
    try:
        found: dict[str, Any] = json.loads((base / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise TrainingError(f"{base} holds no readable config.json: {error}") from error
    return found


def language_model(found: dict[str, Any]) -> str:
    """The class of a base's language model."""
    kinds = (found.get("llm_config") or {}).get("architectures") or [""]
    return str(kinds[0])


def check(settings: Settings, python: Environment, recipe: str, base: Path, out: Path) -> None:
    """Refuse a run that cannot fit; raises TrainingError saying how much is missing, and where."""
    table = read(recipe)
    weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    trained = weights / 2 * (ADAPTED if table.get("model", {}).get("lora") else 1)
    kept = table.get("save", {}).get("keep", 2) + 1
    needed = weights * 2 + trained * STATE * kept
    free = shutil.disk_usage(out).free
    if free < needed:
        raise TrainingError(
            f"{out} has {free / 1e9:.1f} GB free, and the run may write {needed / 1e9:.1f}: make "
            "room, or move FOODCRITIC_HOME"
        )
    name = table.get("optimizer", {}).get("deepspeed")
    if not python.gpus:
        if name or table.get("model", {}).get("quantize_llm"):
            least = weights * 2 + trained * STATE + ACTIVATIONS
            if least > memory():
                raise TrainingError(
                    f"no GPU is seen, and on the CPU {recipe} needs {least / 1e9:.0f} GB: train "
                    "where there is an NVIDIA GPU that FOODCRITIC_TRAIN_PYTHON sees"
                )
        return
    count = min(settings.train_gpus, len(python.gpus))
    shared = count if name == "zero3" else 1
    resting = weights / (3 if table.get("model", {}).get("quantize_llm") else 1)
    needed = resting / shared + trained * (STATE + 4) / count + ACTIVATIONS
    least_free = min(gpu.free for gpu in python.gpus[:count])
    allowed = min(least_free, (settings.train_memory_gb or 1e9) * 1e9)
    if allowed < needed:
        raise TrainingError(
            f"{recipe} of {base.name} needs {needed / 1e9:.1f} GB of GPU memory at the least, "
            f"{allowed / 1e9:.1f} are free: set FOODCRITIC_TRAIN_SERVING=pause, use more GPUs "
            "(FOODCRITIC_TRAIN_GPUS), or a smaller model or recipe (critic-lora, meme-qlora)"
        )


def read(recipe: str) -> dict[str, Any]:
    """A recipe's table, before training's own Python judges it."""
    path = Path(recipe) if recipe.endswith(".toml") else FOLDER / "recipes" / f"{recipe}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in (FOLDER / "recipes").glob("*.toml")))
        raise TrainingError(
            f"no recipe {recipe!r}: there are {known}, or name a .toml file of yours"
        ) from error
    except ValueError as error:  # no TOML, or no text
        raise TrainingError(f"the recipe {recipe} is no TOML: {error}") from error


def memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def serves_on_cpu(settings: Settings, python: Environment, base: Path) -> bool:
    """Whether the CPU engine is what will serve the result."""
    if language_model(config(base)) != "InternLM2ForCausalLM":
        return False
    return settings.engine == "openvino" or (settings.engine == "auto" and not python.gpus)
