"""`engine.copies` by a process of its own, so that nothing of torch stays in this one."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Final

import structlog

from engine import card, copies
from foodcritic.errors import ModelError
from foodcritic.supervise import PARENT

#: What `write` runs. The kernel ends it with us, whatever ends us.
LAUNCH: Final = """
import ctypes, os, pathlib, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(os.environ["FOODCRITIC_PARENT"]):
    sys.exit("orphaned")
from engine import copies
from foodcritic.errors import ModelError
try:
    with copies.held(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]):
        pass
except ModelError as error:
    sys.exit(str(error))
"""

log = structlog.get_logger(__name__)


async def write(folder: Path, models: Path, dtype: str, stop: asyncio.Event) -> None:
    """Have the copy made, unless it is there.

    `stop` ends it, and so does our end.

    Raises:
        ModelError: as of `copies.held`.
    """
    if copies.there(folder, models, dtype):
        return
    log.info("weights.writing", source=str(folder), bits=8)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LAUNCH, str(folder), str(models), dtype),
        env=os.environ | {"CUDA_DEVICE_ORDER": card.ORDER, PARENT: str(os.getpid())},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    stopping, said = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(child.communicate())
    try:
        await asyncio.wait({stopping, said}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        with contextlib.suppress(ProcessLookupError):
            if child.returncode is None:
                child.kill()
        _, error = await said
    if child.returncode and not stop.is_set():
        why = error.decode(errors="replace").strip().rpartition("\n")[2]
        raise ModelError(why or f"no copy of {folder.name} in 8 bits: exit {child.returncode}")
