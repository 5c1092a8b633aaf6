"""What NVIDIA's driver says about this machine's GPUs, without loading torch."""

import csv
import os
import subprocess
from dataclasses import dataclass

#: What is asked of nvidia-smi, in this order.
QUERY = ("index", "name", "memory.total", "memory.free", "driver_version", "compute_cap", "uuid")
#: CUDA_DEVICE_ORDER under which CUDA's numbers are nvidia-smi's; its default is by speed.
ORDER = "PCI_BUS_ID"
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
    #: What names it whatever the order: GPU-8f2c…
    uuid: str = ""


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
            index, name, total, free, driver, capability, uuid = row
            major, _, minor = capability.partition(".")
            found.append(
                Card(
                    index=int(index),
                    name=name,
                    total=int(total) * MIB,
                    free=int(free) * MIB,
                    driver=driver,
                    capability=(int(major), int(minor or 0)),
                    uuid=uuid,
                )
            )
        except ValueError:  # a line of words: the driver is there, a card is not
            continue
    return _visible(found)


def _visible(found: list[Card]) -> list[Card]:
    """Only those that CUDA shows, by number or by UUID; a part of a card (MIG) leaves all."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is None:
        return found
    shown = list[Card]()
    for name in filter(None, (part.strip() for part in told.split(","))):
        if name.startswith("MIG"):
            return found
        one = next((one for one in found if _is(one, name)), None)
        if one is None:  # as CUDA reads it: what comes after an unknown one does not count
            break
        shown.append(one)
    return shown


def _is(one: Card, name: str) -> bool:
    """Whether CUDA means this card by a number or the beginning of a UUID."""
    return str(one.index) == name or (name.startswith("GPU-") and one.uuid.startswith(name))
