"""The checkpoint as training reads it: the base's weights under modeling code of ours.

    base folder ─▶ work/base/  config.json (auto_map to our code), our two modeling files,
                               links to everything else

InternVL2's own code asks for flash-attn and computes attention eagerly without it: every score of
3,400 x 3,400 positions is written to memory, twice. Ours has the same weight names and the same
arithmetic, through torch's ``scaled_dot_product_attention`` (tests compare loss and gradients), and
needs no trust in the folder's Python. InternVL2-4B's language model is transformers' own Phi-3
(`modeling_internvl_phi3`). The result always carries the base's own files.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

CODE = Path(__file__).parents[2] / "engine" / "nano"
MODULES = ("configuration_internvl_chat.py", "modeling_internvl_chat.py")
AUTO_MAP = {
    "AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
    "AutoModel": "modeling_internvl_chat.InternVLChatModel",
    "AutoModelForCausalLM": "modeling_internvl_chat.InternVLChatModel",
}
INTERNLM2, PHI3 = "InternLM2ForCausalLM", "Phi3ForCausalLM"
#: The file that is added for Phi-3, and what is loaded from it.
PHI3_MODULE = Path(__file__).with_name("modeling_internvl_phi3.py")
PHI3_AUTO_MAP = {
    "AutoConfig": "modeling_internvl_phi3.InternVLPhi3Config",
    "AutoModel": "modeling_internvl_phi3.InternVLPhi3Model",
    "AutoModelForCausalLM": "modeling_internvl_phi3.InternVLPhi3Model",
}


class BaseError(Exception):
    """A base model that cannot be trained; the message says which can."""


def view(base: Path, folder: Path) -> Path:
    """Build `folder` anew, to be given to XTuner in the base's place, and return it.

    Raises:
        BaseError: `base` is no InternVL2 that XTuner knows, or is incomplete.
    """
    config = read(base)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in sorted(base.iterdir()):
        if file.is_file() and file.name != "config.json" and not _is_modeling(file):
            (folder / file.name).symlink_to(file.resolve())
    for name in MODULES:
        shutil.copy(CODE / name, folder / name)
    config["auto_map"] = AUTO_MAP
    if language_model(config) == PHI3:
        shutil.copy(PHI3_MODULE, folder / PHI3_MODULE.name)
        config["auto_map"] = PHI3_AUTO_MAP
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    return folder


def read(base: Path) -> dict[str, Any]:
    """The base's config.json; raises BaseError where XTuner could not train it."""
    config = read_config(base)
    kind = language_model(config)
    if kind not in (INTERNLM2, PHI3) or "vision_config" not in config:
        raise BaseError(
            f"{base} is a {kind}: XTuner 0.2.0 trains InternVL2 over InternLM2 (2B, 8B, 26B, nano) "
            "or Phi-3 (4B); 1B (Qwen2), 40B and 76B it cannot"
        )
    if not list(base.glob("*.safetensors")):
        raise BaseError(f"{base} holds no *.safetensors")
    return config


def read_config(base: Path) -> dict[str, Any]:
    """config.json as it is; raises BaseError where there is none."""
    try:
        config: dict[str, Any] = json.loads((base / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BaseError(f"{base} holds no readable config.json: {error}") from error
    return config


def language_model(config: dict[str, Any]) -> str:
    """The class of its language model."""
    kinds = (config.get("llm_config") or {}).get("architectures") or [None]
    return str(kinds[0] or config.get("model_type") or "model of an unknown kind")


def _is_modeling(file: Path) -> bool:
    """Python of the model, not of the tokenizer."""
    return file.suffix == ".py" and not file.name.startswith("tokenization_")
