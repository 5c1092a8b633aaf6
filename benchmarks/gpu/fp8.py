"""A checkpoint whose language model's layers are 8-bit floats, in blocks of 128 by 128.

    python -m benchmarks.gpu.fp8 MODEL OUT

The format of DeepSeek-V3's checkpoints, which TurboMind reads: weights in float8_e4m3fn, for each
block one scale, quantization_config in config.json. With `gemm_input_dtype` float8_e4m3 it also
multiplies in 8 bits. Embeddings, output and vision stay as they are. An experiment: how much of a
photo's reading it saves is measured by benchmarks.gpu.session, what it costs in answers is not.
"""

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

#: The matrices of InternLM2's layers.
LAYERS = re.compile(
    r"language_model\.model\.layers\.\d+\."
    r"(attention\.(wqkv|wo)|feed_forward\.(w1|w2|w3))\.weight"
)
SIDE = 128


def blocks(weight: Any) -> tuple[Any, Any]:
    """A matrix (out, in) as float8 and what each of its blocks is to be multiplied with.

    Raises:
        ValueError: a side is no multiple of `SIDE`.
    """
    import torch

    rows, columns = weight.shape
    if rows % SIDE or columns % SIDE:
        raise ValueError(f"{rows} x {columns} has no blocks of {SIDE}")
    most = torch.finfo(torch.float8_e4m3fn).max
    cut = weight.float().view(rows // SIDE, SIDE, columns // SIDE, SIDE)
    scale = cut.abs().amax(dim=(1, 3)).clamp(min=1e-12) / most
    whole = (cut / scale[:, None, :, None]).view(rows, columns).to(torch.float8_e4m3fn)
    return whole, scale


def write(model: Path, out: Path) -> int:
    """Write the checkpoint folder; how many matrices are in 8 bits now."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for file in model.iterdir():
        if file.is_file() and file.suffix != ".safetensors" and file.name != "config.json":
            shutil.copy(file, out / file.name)
    for file in sorted(model.glob("*.safetensors")):
        tensors = {}
        with safe_open(file, "pt") as stored:
            for name in stored.keys():  # noqa: SIM118 it is no dict
                tensor = stored.get_tensor(name)
                if LAYERS.fullmatch(name):
                    tensors[name], scale = blocks(tensor)
                    tensors[name.removesuffix("weight") + "weight_scale_inv"] = scale
                    count += 1
                else:
                    tensors[name] = tensor
        save_file(tensors, out / file.name, {"format": "pt"})
    config = json.loads((model / "config.json").read_text("utf-8"))
    how = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}
    config["quantization_config"] = how | {"weight_block_size": [SIDE, SIDE]}
    (out / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    print(f"{write(given.model, given.out)} matrices in 8 bits")  # noqa: T201


if __name__ == "__main__":
    main()
