"""A checkpoint whose language model's layers are 8-bit floats, in blocks of 128 by 128.

```
 *.safetensors ─▶ wqkv, wo, w1-w3 | q_proj … down_proj ─▶ float8_e4m3 and a scale for each block
               └▶ all else: embeddings, output, norms, biases, vision, projector ─▶ as it is
```

The format of DeepSeek-V3's checkpoints (https://huggingface.co/deepseek-ai/DeepSeek-V3,
README_WEIGHTS.md), which TurboMind reads; with `gemm_input_dtype` float8_e4m3 it multiplies in 8
bits, too, on Hopper and newer. It looks at each matrix by itself, so that some may stay as they
are. A value is off by a sixteenth at most; a matrix as a whole by about 2.7 %.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from engine import weights
from foodcritic.errors import ModelError

#: Compute capability from which on TurboMind multiplies in 8 bits: Hopper's.
CAPABILITY: Final = (9, 0)
#: The side of a block: TurboMind reads no other.
SIDE: Final = 128
#: A head must be as long: of others TurboMind 0.18 mixes up the blocks' scales.
HEAD: Final = 128
#: Language models whose layers TurboMind reads in this format and under these names.
SERVED: Final = (
    *("InternLM2ForCausalLM", "InternLM3ForCausalLM", "LlamaForCausalLM"),
    *("Qwen2ForCausalLM", "Qwen3ForCausalLM"),
)
#: A layer's matrices; those in one group are of one kind, since TurboMind joins them.
GROUPS: Final = {
    **dict.fromkeys(("attention.wqkv",), "heads"),
    **dict.fromkeys((f"self_attn.{one}_proj" for one in "qkv"), "heads"),
    **dict.fromkeys(("attention.wo", "self_attn.o_proj"), "out"),
    **dict.fromkeys((f"feed_forward.w{one}" for one in (1, 2, 3)), "forward"),
    **dict.fromkeys((f"mlp.{one}_proj" for one in ("gate", "up", "down")), "forward"),
}
LAYER: Final = re.compile(r"(language_model\.model\.layers\.\d+)\.(\w+\.\w+)\.(weight|bias)")
FLOATS: Final = ("BF16", "F16", "F32")
INDEX: Final = "model.safetensors.index.json"

#: A tensor as safetensors' header has it: dtype, shape, data_offsets.
Entry = Mapping[str, Any]


def refused(folder: Path, config: Mapping[str, Any]) -> str:
    """Why a checkpoint cannot be had in this format, in plain words; "": it can."""
    if kind := quantised(config):
        return f"{folder.name} is quantised already ({kind})"
    language = _language(config)
    if language not in SERVED:
        return f"8-bit weights are made of {', '.join(SERVED)}, and not of {language or 'this'}"
    try:
        tables = [weights.header(file)[1] for file in files(folder)]
    except ModelError as error:
        return str(error)
    if not chosen(config, tables):
        return f"{folder.name} has no matrix whose sides are multiples of {SIDE}"
    return ""


def quantised(config: Any) -> str:
    """What a checkpoint is quantised with, wherever its configuration says so; "": it is not."""
    inner = config if isinstance(config, list) else []
    if isinstance(config, dict):
        if how := config.get("quantization_config") or config.get("compression_config"):
            return str((isinstance(how, dict) and how.get("quant_method")) or "somehow")
        inner = list(config.values())
    return next(filter(None, map(quantised, inner)), "")


def files(folder: Path) -> list[Path]:
    """The weights' files that LMDeploy would read.

    Raises:
        ModelError: there are none, or the index is broken.
    """
    index = folder / INDEX
    if not index.is_file():
        found = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors"))
        if not found:
            raise ModelError(f"{folder} holds no *.safetensors")
        return found
    try:
        named = {str(name) for name in json.loads(index.read_text("utf-8"))["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no index of weights: {error!r}") from error
    if not named or any(Path(name).name != name or name in ("", "..") for name in named):
        raise ModelError(f"{index} names files outside of its folder, or none")
    return [folder / name for name in sorted(named)]


def chosen(config: Mapping[str, Any], tables: list[dict[str, Any]]) -> set[str]:
    """The names of the matrices that become 8-bit floats, of all files' headers."""
    groups: dict[tuple[str, str], dict[str, Entry]] = {}
    for table in tables:
        for name, entry in table.items():
            found = LAYER.fullmatch(name)
            if found and found[3] == "weight" and found[2] in GROUPS:
                groups.setdefault((found[1], GROUPS[found[2]]), {})[name] = entry
    heads = _head(config) == HEAD
    return {
        name
        for (_, group), entries in groups.items()
        if (heads or group != "heads") and all(map(_has_blocks, entries.values()))
        for name in entries
    }


def size(folder: Path, config: Mapping[str, Any]) -> int:
    """Bytes of the weights in this format.

    Raises:
        ModelError: they cannot be read.
    """
    tables = [weights.header(file)[1] for file in files(folder)]
    names, total = chosen(config, tables), 0
    for table in tables:
        for name, entry in tensors(table):
            count = math.prod(entry["shape"])
            begin, end = entry["data_offsets"]
            total += count + 4 * count // SIDE**2 if name in names else end - begin
    return total


def tensors(table: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    """What a file's header says of its tensors."""
    return ((name, entry) for name, entry in table.items() if name != "__metadata__")


def _has_blocks(entry: Entry) -> bool:
    shape = entry["shape"]
    whole = len(shape) == 2 and all(side and side % SIDE == 0 for side in shape)
    return whole and entry["dtype"] in FLOATS


def _language(config: Mapping[str, Any]) -> str:
    return str(((config.get("llm_config") or {}).get("architectures") or [""])[0])


def _head(config: Mapping[str, Any]) -> int:
    """The length of a head; 0: config.json does not say."""
    try:
        llm = config["llm_config"]
        return int(
            llm.get("head_dim") or int(llm["hidden_size"]) // int(llm["num_attention_heads"])
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0
