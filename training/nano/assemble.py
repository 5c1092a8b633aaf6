# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""Builds the checkpoint that dialogue training starts from.

    vision state (pre-trained) + random language model + tokenizer + modeling code -> HF folder

Runs in training's environment (torch and transformers).
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer

from engine.nano.configuration_internvl_chat import InternVLChatConfig
from engine.nano.modeling_internvl_chat import InternVLChatModel
from training.nano.student import inflate

#: The code that travels in the folder (trust_remote_code).
CODE = Path(__file__).parents[2] / "engine" / "nano"
MODULES = ("configuration_internvl_chat.py", "modeling_internvl_chat.py")
#: Of the student's weights, those that the checkpoint keeps.
PARTS = ("vision_model.", "mlp1.")
#: What transformers imports from the folder.
AUTO_MAP = {
    "AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
    "AutoModel": "modeling_internvl_chat.InternVLChatModel",
    "AutoModelForCausalLM": "modeling_internvl_chat.InternVLChatModel",
}
#: Pixels of one tile; OpenVINO GenAI reads this file, XTuner reads config.json.
PREPROCESSOR: dict[str, Any] = {
    "image_processor_type": "CLIPImageProcessor",
    "crop_size": {"height": 448, "width": 448},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 448},
}


class AssembleError(ValueError):
    """Parts that do not fit together; the message names the part."""


def assemble(
    tokenizer: Path,
    out: Path,
    *,
    vision: Mapping[str, Tensor] | None = None,
    vision_config: Mapping[str, Any] | None = None,
    llm_config: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Write a complete checkpoint folder and return it.

    ``tokenizer`` holds tokenizer.json, tokenizer_config.json and whatever stands beside them.
    ``vision`` holds tensors named ``vision_model.…`` and, if trained along, ``mlp1.…``; without it
    the vision encoder is random. ``vision_config`` and ``llm_config`` change nano's sizes.

    Raises AssembleError when a vision tensor is missing, unknown or of another shape.
    """
    words = AutoTokenizer.from_pretrained(tokenizer)
    image_token = words.convert_tokens_to_ids("<IMG_CONTEXT>")
    end = words.convert_tokens_to_ids("<|im_end|>")
    if image_token in (None, words.unk_token_id) or end in (None, words.unk_token_id):
        raise AssembleError(f"{tokenizer} lacks InternVL2's special tokens")
    llm = {
        "vocab_size": len(words),
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        **(llm_config or {}),
    }
    config = InternVLChatConfig(
        vision_config=dict(vision_config or {}),
        llm_config=llm,
        architectures=["InternVLChatModel"],
        auto_map=AUTO_MAP,
        torch_dtype="float32",
    )
    torch.manual_seed(seed)
    model = InternVLChatModel(config)
    if vision is not None:
        _insert(model, vision)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for file in tokenizer.iterdir():
        if file.is_file() and file.suffix in (".json", ".jinja", ".model"):
            shutil.copy(file, out / file.name)
    for name in MODULES:
        shutil.copy(CODE / name, out / name)
    _write(out / "config.json", config.to_dict())
    _write(out / "preprocessor_config.json", PREPROCESSOR)
    generation = {
        "bos_token_id": words.bos_token_id,
        "eos_token_id": [words.eos_token_id, end],
        "pad_token_id": words.pad_token_id,
    }
    _write(out / "generation_config.json", generation)
    weights = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "model.safetensors", {"format": "pt"})
    return out


def _insert(model: InternVLChatModel, vision: Mapping[str, Tensor]) -> None:
    try:
        result = model.load_state_dict(dict(vision), strict=False)
    except RuntimeError as error:
        raise AssembleError(f"the vision state does not fit: {error}") from error
    missing = [name for name in result.missing_keys if name.startswith("vision_model.")]
    if result.unexpected_keys or missing:
        names = ", ".join([*result.unexpected_keys, *missing][:3])
        raise AssembleError(f"the vision state does not fit: unknown or missing {names}")


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def vision_state(folder: Path) -> dict[str, Tensor]:
    """The pre-trained vision encoder and projector of ``folder``, for the product's patch size.

    Raises AssembleError when there is none.
    """
    state: dict[str, Tensor] = {}
    for file in sorted(folder.glob("student*.safetensors")):
        state |= load_file(file)
    if not state:
        raise AssembleError(f"{folder} holds no student*.safetensors: train the student first")
    kept = {name: t.float() for name, t in state.items() if name.startswith(PARTS)}
    return inflate(kept)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.nano.assemble")
    parser.add_argument("tokenizer", type=Path, help="folder of the tokenizer's files")
    parser.add_argument("out", type=Path, help="checkpoint folder to write")
    parser.add_argument("--vision", type=Path, help="folder of the pre-trained student")
    parser.add_argument("--drop-path", type=float, default=0.05, help="of the vision encoder")
    args = parser.parse_args(argv)
    vision = vision_state(args.vision) if args.vision else None
    settings = {"drop_path_rate": args.drop_path}
    assemble(args.tokenizer, args.out, vision=vision, vision_config=settings)


if __name__ == "__main__":
    main()
