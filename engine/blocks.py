"""Writes the copy of a checkpoint that `engine.fp8` describes: torch, a matrix at a time.

```
 header: where each tensor goes ─▶ matrices, blocks of rows at a time, and their scales ─┐
                                   what stays ──────────────────────────────────────────┴▶ file
```
"""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from engine import fp8, text, weights
from engine.fp8 import SIDE
from foodcritic.errors import ModelError

#: What a checkpoint needs beside its weights: configuration, code, chat template, tokenizer.
BESIDE: Final = (".json", ".py", ".jinja", ".model", ".txt")
#: Values converted at a time.
AT_ONCE: Final = 2**24
#: Bytes of a value, by safetensors' names.
WIDTH: Final = {"F8_E4M3": 1, "BF16": 2, "F16": 2, "F32": 4}


def write(folder: Path, out: Path, dtype: str) -> int:
    """Write the checkpoint into the folder `out`; how many matrices are in 8 bits.

    `dtype` is what the engine computes in: it wants biases of such matrices in it. On a GPU if
    there is one; a matrix at a time is in memory. A file without such matrices is linked.

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
    start, table = weights.header(file)
    mine = names & table.keys()
    biases = {name.removesuffix("weight") + "bias" for name in names} & table.keys()
    if not mine and not biases:
        _link(file, target)
        return [name for name, _ in fp8.tensors(table)]
    kinds = {"bfloat16": "BF16", "float16": "F16"}
    layout: dict[str, dict[str, Any]] = {}
    for name, entry in fp8.tensors(table):
        shape = entry["shape"]
        if name in mine:
            layout[name] = {"dtype": "F8_E4M3", "shape": shape}
            scales = {"dtype": "F32", "shape": [side // SIDE for side in shape]}
            layout[name.removesuffix("weight") + "weight_scale_inv"] = scales
        elif name in biases:
            layout[name] = {"dtype": kinds[dtype], "shape": shape}
        else:
            layout[name] = {"dtype": entry["dtype"], "shape": shape}
    with file.open("rb") as source, target.open("xb") as out:
        places = _head_of(out, layout, table)
        for name, data in _converted(file, mine, biases, dtype):
            out.seek(places[name])
            out.write(data)
        for name, entry in fp8.tensors(table):
            if name not in mine | biases:
                begin, end = entry["data_offsets"]
                source.seek(start + begin)
                out.seek(places[name])
                _pass_on(source, out, end - begin)
        out.flush()
        os.fsync(out.fileno())
    return list(layout)


def _head_of(
    out: IO[bytes], layout: dict[str, dict[str, Any]], table: Mapping[str, Any]
) -> dict[str, int]:
    """Write safetensors' header; where in the file each tensor goes.

    Largest numbers first, so that each begins at a multiple of its size, as readers want it.
    """

    def length(name: str) -> int:
        one = layout[name]
        if one["dtype"] in WIDTH:
            return int(math.prod(one["shape"])) * WIDTH[one["dtype"]]
        begin, end = table[name]["data_offsets"]
        return int(end - begin)

    def wide(name: str) -> float:
        return length(name) / max(1, int(math.prod(layout[name]["shape"])))

    at, head = 0, dict[str, Any]({"__metadata__": {"format": "pt"}})
    for name in sorted(layout, key=lambda name: (-wide(name), name)):
        head[name] = layout[name] | {"data_offsets": [at, at + length(name)]}
        at += length(name)
    told = json.dumps(head).encode()
    told += b" " * (-len(told) % 8)
    out.write(len(told).to_bytes(8, "little") + told)
    out.truncate(8 + len(told) + at)
    return {name: 8 + len(told) + head[name]["data_offsets"][0] for name in layout}


def _converted(
    file: Path, mine: set[str], biases: set[str], dtype: str
) -> Iterator[tuple[str, memoryview]]:
    """The bytes of each matrix and its scales, and of each bias."""
    import torch
    from safetensors import safe_open

    device = "cuda" if torch.cuda.is_available() else "cpu"

    def turned(rows: Any) -> list[Any]:
        try:
            return [one.cpu() for one in blocks(rows.to(device))]
        except torch.cuda.OutOfMemoryError:  # another model serves on it
            return list(blocks(rows))

    with safe_open(file, "pt") as stored, torch.inference_mode():
        for name in sorted(mine):
            weight = stored.get_tensor(name)
            step = max(SIDE, AT_ONCE // weight.shape[1] // SIDE * SIDE)
            try:
                parts = [turned(rows) for rows in weight.split(step)]
            except ValueError as error:
                raise ModelError(f"{file.name}: {name}: {error}") from error
            whole, scale = (torch.cat(side) for side in zip(*parts, strict=True))
            yield name, _bytes(whole)
            yield name.removesuffix("weight") + "weight_scale_inv", _bytes(scale)
        for name in sorted(biases):
            yield name, _bytes(stored.get_tensor(name).to(getattr(torch, dtype)))
    if device == "cuda":
        torch.cuda.empty_cache()


def _bytes(tensor: Any) -> memoryview:
    import torch

    return memoryview(tensor.contiguous().view(torch.uint8).numpy()).cast("B")


def _pass_on(source: IO[bytes], out: IO[bytes], count: int) -> None:
    while count > 0:
        piece = source.read(min(count, AT_ONCE))
        if not piece:
            raise ModelError(f"{source.name} is cut short")
        out.write(piece)
        count -= len(piece)


def _link(file: Path, target: Path) -> None:
    """The same file under a second name, or a copy where the disk is another one."""
    try:
        os.link(file.resolve(), target)
    except OSError:
        shutil.copyfile(file, target)
