"""What NVIDIA's driver says about this machine's GPUs, without loading torch."""

import csv
import os
import subprocess
from dataclasses import dataclass

#: What is asked of nvidia-smi, in this order.
QUERY = ("index", "name", "memory.total", "memory.free", "driver_version", "compute_cap")
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A GPU. Memory in bytes."""

    index: int
    name: str
    total: int
    free: int
    driver: str
    #: Compute capability: (9, 0) is Hopper.
    capability: tuple[int, int]


def cards() -> list[Card]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES orders them.

    [] without a driver, a card or permission to use one.
    """
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for row in csv.reader(asked.stdout.splitlines(), skipinitialspace=True):
        try:
            index, name, total, free, driver, capability = row
            major, _, minor = capability.partition(".")
            found.append(
                Card(
                    index=int(index),
                    name=name,
                    total=int(total) * MIB,
                    free=int(free) * MIB,
                    driver=driver,
                    capability=(int(major), int(minor or 0)),
                )
            )
        except ValueError:  # a line of words: the driver is there, a card is not
            continue
    return _visible(found)


def _visible(found: list[Card]) -> list[Card]:
    """Only those that CUDA shows; names it cannot tell (UUIDs, MIG) leave all."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is None:
        return found
    try:
        chosen = [int(index) for index in told.split(",") if index.strip()]
    except ValueError:
        return found
    known = {one.index: one for one in found}
    shown = []
    for index in chosen:  # as CUDA reads it: what comes after an unknown one does not count
        if index not in known:
            break
        shown.append(known[index])
    return shown
