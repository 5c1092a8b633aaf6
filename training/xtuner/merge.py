# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""Turns a training checkpoint into a Hugging Face folder that loads by itself.

    work/iter_N.pth + base folder -> adapters merged -> model.safetensors + the base's other files

XTuner's ``convert_to_official.py`` rounds to bfloat16 and leaves the modeling code behind.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from safetensors.torch import save_file
from torch import Tensor

from .model import Critic

#: What a checkpoint folder keeps its weights in; everything else is copied.
WEIGHTS = (".safetensors", ".bin", ".pth", ".pt", ".safetensors.index.json")
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


class MergeError(Exception):
    """A checkpoint that does not fit its base model."""


def last_checkpoint(work: Path) -> Path | None:
    """The newest complete checkpoint of a run: a file, or DeepSpeed's folder.

    mmengine writes ``last_checkpoint`` after the checkpoint itself: a killed save is never chosen.
    """
    pointer = work / "last_checkpoint"
    if not pointer.exists():
        return None
    path = Path(pointer.read_text(encoding="utf-8").strip())
    return path if path.exists() else None


def merge(config: Path, checkpoint: Path, out: Path, dtype: str = "fp16") -> Path:
    """Write ``out`` from a run's rendered config and checkpoint; returns ``out``.

    ``out`` appears at once, complete: it is built beside and renamed. Raises MergeError when the
    checkpoint holds tensors that the model does not.
    """
    settings: dict[str, Any] = dict(Config.fromfile(config).model)
    settings.pop("type")
    settings |= {"quantization_llm": False, "weights": "fp32"}
    model = Critic(**settings)
    unknown = model.load_state_dict(_state(checkpoint), strict=False).unexpected_keys
    if unknown:
        raise MergeError(f"{checkpoint} does not fit {settings['model_path']}: {unknown[0]}")
    inner = model.model
    if model.use_llm_lora:
        inner.language_model = inner.language_model.merge_and_unload()
    if model.use_visual_encoder_lora:
        inner.vision_model = inner.vision_model.merge_and_unload()
    base, part = Path(settings["model_path"]), out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for file in base.iterdir():
        if file.is_file() and not file.name.endswith(WEIGHTS):
            shutil.copy(file, part / file.name)
    save_file(tensors(inner, DTYPES[dtype]), part / "model.safetensors", {"format": "pt"})
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return out


def tensors(model: torch.nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """The model's weights in ``dtype``, each with memory of its own."""
    return {
        name: tensor.detach().to(dtype).contiguous().clone()
        for name, tensor in model.state_dict().items()
    }


def _state(checkpoint: Path) -> dict[str, Tensor]:
    from xtuner.model.utils import guess_load_checkpoint

    state: dict[str, Tensor] = guess_load_checkpoint(str(checkpoint))
    return state
