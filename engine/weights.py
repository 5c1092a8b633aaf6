"""Reads the weights of a checkpoint folder, whole or in shards, into numpy: no torch.

Own code because safetensors' numpy reader refuses bfloat16, which most InternVL2 checkpoints are
in. Format: https://github.com/huggingface/safetensors#format
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foodcritic.errors import ModelError

#: A header longer than this is no header (safetensors' own limit).
MAX_HEADER = 100_000_000
TYPES: dict[str, Any] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Weights(Mapping[str, NDArray[Any]]):
    """Tensors by name. Nothing is read before it is asked for; bfloat16 comes as float32."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ModelError(f"{folder} holds no *.safetensors: not a checkpoint folder")
        self.folder = folder
        self._where: dict[str, tuple[Path, int, dict[str, Any]]] = {}
        for file in files:
            start, table = header(file)
            for name, entry in table.items():
                if name != "__metadata__":
                    self._where[name] = (file, start, entry)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._where:
            raise ModelError(f"{self.folder} lacks the weight {name}: is it an InternVL2?")
        file, start, entry = self._where[name]
        if entry["dtype"] not in TYPES:
            raise ModelError(f"{file.name}: {name} is stored as {entry['dtype']}, not as floats")
        begin, end = entry["data_offsets"]
        stored = np.dtype(TYPES[entry["dtype"]])
        count = (end - begin) // stored.itemsize
        flat: NDArray[Any] = np.memmap(file, stored, "r", start + begin, (count,))
        if entry["dtype"] == "BF16":
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        return flat.reshape(entry["shape"])

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


def header(file: Path) -> tuple[int, dict[str, Any]]:
    """Where the tensors start, and the table of them.

    Raises:
        ModelError: the file is cut short or no safetensors file.
    """
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            if not 0 < size <= MAX_HEADER:
                raise ValueError("its header has no plausible size")
            header: dict[str, Any] = json.loads(opened.read(size))
        entries = [entry for name, entry in header.items() if name != "__metadata__"]
        for entry in entries:
            begin, end = entry["data_offsets"]
            numbers = (begin, end - begin, *entry["shape"])
            whole = all(isinstance(one, int) and one >= 0 for one in numbers)
            if not whole or not isinstance(entry["dtype"], str):
                raise ValueError("its table of tensors is broken")
        ends = [entry["data_offsets"][1] for entry in entries]
        if file.stat().st_size < 8 + size + max(ends, default=0):
            raise ValueError("it is cut short")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file} is no readable safetensors file: {error}") from error
    return 8 + size, header
