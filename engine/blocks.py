"""Writes the copy of a checkpoint that `engine.fp8` describes, a file at a time."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from engine import fp8, text, weights
from engine.fp8 import SIDE
from foodcritic.errors import ModelError

#: What a checkpoint needs beside its weights: configuration, code, chat template, tokenizer.
BESIDE: Final = (".json", ".py", ".jinja", ".model", ".txt")
#: Values converted at a time.
AT_ONCE: Final = 2**24


def write(folder: Path, out: Path, dtype: str) -> int:
    """Write the checkpoint into the folder `out`; how many matrices are in 8 bits.

    `dtype` is what the engine computes in: it wants biases of such matrices in it. On a GPU if
    there is one; one file of weights is in memory. A file without such matrices is linked.

    Raises:
        ModelError: the checkpoint is broken, or has no such matrices.
        OSError: no room on the disk, no permission.
    """
    config = text.read(folder / "config.json")
    sources = fp8.files(folder)
    names = fp8.chosen(config, [weights.header(file)[1] for file in sources])
    if not names:
        raise ModelError(f"{folder.name} has no matrix whose sides are multiples of {SIDE}")
    index = {}
    for file in sources:
        for name in _file(file, out / file.name, names, dtype):
            index[name] = file.name
    for file in sorted(folder.iterdir()):
        if file.suffix in BESIDE and file.is_file() and file.name not in (fp8.INDEX, "config.json"):
            shutil.copyfile(file, out / file.name)
    how = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}
    config["quantization_config"] = how | {"weight_block_size": [SIDE, SIDE]}
    (out / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    # Without it LMDeploy may look at other files; with the old one it would skip the scales.
    (out / fp8.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}), "utf-8")
    return len(names)


def blocks(weight: Any) -> tuple[Any, Any]:
    """A matrix (out, in) as float8, and (out / SIDE, in / SIDE) what blocks are multiplied with.

    Raises:
        ValueError: a side is no multiple of `SIDE`, or a value is no finite number.
    """
    import torch

    rows, columns = weight.shape
    if rows % SIDE or columns % SIDE:
        raise ValueError(f"{rows} x {columns} has no blocks of {SIDE}")
    most = torch.finfo(torch.float8_e4m3fn).max
    cut = weight.float().view(rows // SIDE, SIDE, columns // SIDE, SIDE)
    scale = cut.abs().amax(dim=(1, 3)).clamp(min=1e-12) / most
    if not scale.isfinite().all():
        raise ValueError("it holds values that are no finite numbers")
    whole = (cut / scale[:, None, :, None]).view(rows, columns).to(torch.float8_e4m3fn)
    return whole, scale


def _file(file: Path, target: Path, names: set[str], dtype: str) -> list[str]:
    """Write one file of weights anew, or link it; the names of the tensors in it."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    table = dict(fp8.tensors(weights.header(file)[1]))
    mine = names & table.keys()
    biases = {name.removesuffix("weight") + "bias" for name in names} & table.keys()
    if not mine and not biases:
        _link(file, target)
        return list(table)
    tensors = {}
    with safe_open(file, "pt") as stored, torch.inference_mode():
        for name in table:
            tensors[name] = stored.get_tensor(name)
            if name in mine:
                try:
                    tensors[name], scale = _turned(tensors[name])
                except ValueError as error:
                    raise ModelError(f"{file.name}: {name}: {error}") from error
                tensors[name.removesuffix("weight") + "weight_scale_inv"] = scale
            elif name in biases:
                tensors[name] = tensors[name].to(getattr(torch, dtype))
    torch.cuda.empty_cache()  # the engine comes next, and wants all of it
    save_file(tensors, target, {"format": "pt"})
    with target.open("rb") as written:
        os.fsync(written.fileno())
    return list(tensors)


def _turned(weight: Any) -> tuple[Any, Any]:
    """`blocks`, some rows at a time, on the GPU where it has room."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    parts = []
    for rows in weight.split(max(SIDE, AT_ONCE // weight.shape[1] // SIDE * SIDE)):
        try:
            parts.append([one.cpu() for one in blocks(rows.to(device))])
        except torch.cuda.OutOfMemoryError:  # another model serves on it
            parts.append(list(blocks(rows)))
    whole, scale = (torch.cat(side) for side in zip(*parts, strict=True))
    return whole, scale


def _link(file: Path, target: Path) -> None:
    """The same file under a second name, or a copy where the disk is another one."""
    try:
        os.link(file.resolve(), target)
    except OSError:
        shutil.copyfile(file, target)
