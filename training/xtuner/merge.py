# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""Turns a training checkpoint into a Hugging Face folder that loads by itself, and a PEFT adapter.

    work/iter_N.pth + base folder ─▶ OUT          the base's files, its shards with what was learned
                                  └▶ OUT-adapter  adapter_model.safetensors, mlp1.safetensors

Shard by shard, so that memory holds one, in the base's own precision. XTuner's
``convert_to_official.py`` builds the whole model, rounds to bfloat16, and leaves behind the
modeling code and the template that was trained with.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoTokenizer

from . import base as base_

#: What a checkpoint folder keeps its weights in, apart from safetensors; not copied.
WEIGHTS = (".bin", ".pth", ".pt", ".bin.index.json")
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
ADAPTED = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.default\.weight")
LLM = "language_model."
TEMPLATE = "chat_template.jinja"


class MergeError(Exception):
    """A checkpoint that does not fit its base model."""


def merge(
    config: Path,
    checkpoint: Path,
    base: Path,
    out: Path,
    dtype: str | None = None,
    *,
    share: float = 1.0,
) -> tuple[Path, Path | None]:
    """Write `out` from a run's rendered config, checkpoint and base; returns it and the adapter.

    Each appears at once, complete: it is built beside and renamed. `dtype` is of DTYPES; None
    keeps the base's. `share` is of the way from the base to what was trained (without adapters).
    Raises MergeError when the checkpoint holds tensors that the base does not.
    """
    lora = Config.fromfile(config).model.get("llm_lora")
    whole, pairs = split(_state(checkpoint))
    if pairs and lora is None:
        raise MergeError(f"{checkpoint} holds adapters, {config} names none")
    part = _fresh(out)
    for file in sorted(base.iterdir()):
        if file.is_file() and not file.name.endswith((*WEIGHTS, ".safetensors")):
            shutil.copy(file, part / file.name)
    used: set[str] = set()
    for file in sorted(base.glob("*.safetensors")):
        shard: dict[str, Tensor] = {}
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                tensor = tensors.get_tensor(name)
                wanted = DTYPES[dtype] if dtype else tensor.dtype
                if name in whole:
                    tensor = between(tensor, whole[name], share)
                    used.add(name)
                module = name.removesuffix(".weight")
                if name.endswith(".weight") and module in pairs:
                    tensor = adapted(tensor, pairs[module], lora["lora_alpha"] / lora["r"])
                    used.add(module)
                shard[name] = tensor.to(wanted).contiguous()
        save_file(shard, part / file.name, {"format": "pt"})
    unknown = sorted((whole.keys() | pairs.keys()) - used)
    if unknown:
        raise MergeError(f"{checkpoint} does not fit {base}: {unknown[0]}")
    _teach_template(part)
    _place(part, out)
    return out, _adapter(out, base, lora, whole, pairs) if pairs else None


def split(
    state: dict[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """Tensors by the base's names, and adapters, ``{"A": (r, in), "B": (out, r)}``, by module."""
    whole: dict[str, Tensor] = {}
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        plain = name.removeprefix("model.").replace("base_model.model.", "")
        if found := ADAPTED.fullmatch(plain):
            pairs.setdefault(found["module"], {})[found["side"]] = tensor
        else:
            whole[plain] = tensor
    return whole, pairs


def adapted(weight: Tensor, pair: dict[str, Tensor], scale: float) -> Tensor:
    """W + scale · B A, computed in float32 (Hu et al. 2021)."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = (pair[side].to(device, torch.float32) for side in "AB")
    return (weight.to(device, torch.float32) + scale * (b @ a)).cpu()


def between(base: Tensor, trained: Tensor, share: float) -> Tensor:
    """`share` of the way from `base` to `trained`, in float32; `trained` itself at 1."""
    if share == 1.0:
        return trained
    return torch.lerp(base.float(), trained.float().to(base.device), share)


def _adapter(
    out: Path,
    base: Path,
    lora: dict[str, Any],
    whole: dict[str, Tensor],
    pairs: dict[str, dict[str, Tensor]],
) -> Path:
    """What PEFT reads for the language model, and the projector that was trained along with it."""
    from peft import LoraConfig

    folder = out.with_name(out.name + "-adapter")
    part = _fresh(folder)
    names = sorted({module.rsplit(".", 1)[1] for module in pairs})
    settings = {key: lora[key] for key in ("r", "lora_alpha", "lora_dropout", "task_type")}
    LoraConfig(
        **settings, target_modules=names, inference_mode=True, base_model_name_or_path=base.name
    ).save_pretrained(part)
    tensors = {
        f"base_model.model.{module.removeprefix(LLM)}.lora_{side}.weight": tensor.contiguous()
        for module, pair in pairs.items()
        for side, tensor in pair.items()
    }
    save_file(tensors, part / "adapter_model.safetensors", {"format": "pt"})
    save_file({k: v.contiguous() for k, v in whole.items()}, part / "mlp1.safetensors")
    (part / "README.md").write_text(
        f"LoRA of {base.name}'s language model, for PEFT, and the projector that was trained "
        "along with it (mlp1.safetensors): the adapter alone is not the trained model.\n",
        encoding="utf-8",
    )
    _place(part, folder)
    return folder


def _teach_template(folder: Path) -> None:
    """Engines write prompts by the folder's chat template: it shall be the one trained with."""
    if base_.language_model(base_.read_config(folder)) != base_.INTERNLM2:
        return
    text = (base_.CODE / "model" / TEMPLATE).read_text(encoding="utf-8")
    (folder / TEMPLATE).write_text(text, encoding="utf-8")
    _update(folder / "tokenizer_config.json", chat_template=text)
    words = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    ends = {words.eos_token_id, words.convert_tokens_to_ids("<|im_end|>")} - {None}
    _update(folder / "generation_config.json", eos_token_id=sorted(ends))


def _update(path: Path, **values: Any) -> None:
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if found != found | values:
        text = json.dumps(found | values, indent=2, ensure_ascii=False, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")


def _fresh(folder: Path) -> Path:
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def _place(part: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _state(checkpoint: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor]
    if checkpoint.is_dir():  # DeepSpeed's: XTuner's usual reader rounds what is float32 to float16
        from xtuner.utils.zero_to_any_dtype import get_state_dict_from_zero_checkpoint

        where = {"tag": checkpoint.name, "dtype": torch.float32}
        state = get_state_dict_from_zero_checkpoint(str(checkpoint.parent), **where)
    else:
        from xtuner.model.utils import guess_load_checkpoint

        state = guess_load_checkpoint(str(checkpoint))
    return state
