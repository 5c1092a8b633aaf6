# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""What the machine is, and what XTuner's parts must be told of it before they are imported.

The package calls ``settle`` when it is imported, before any of its modules imports XTuner.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

import torch

#: Errors of a disk, a quota, or a limit on a file's size.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class MachineError(Exception):
    """The machine cannot do what was asked; the message says what to ask for."""


def settle() -> None:
    """Prepare the process; harmless when repeated.

    - mmengine 0.10.6 reads its own checkpoints (optimizer, message hub) with torch.load's old
      default.
    - deepspeed 0.16.2 and bitsandbytes 0.45.0 decorate Triton kernels when imported, which Triton
      3.2 refuses on a machine without a GPU: there they shall find no Triton.
    - Everything is read from disk: no hub is asked.
    """
    os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")
    # Batches of many lengths leave memory in pieces that fit none of the next.
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    if not torch.cuda.is_available():
        sys.modules["triton"] = None  # type: ignore[assignment]
        torch.cuda.set_device = lambda device: None  # mmengine does for each of several processes


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0))


def free_port() -> int:
    """A port of this host that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def limit_memory(gigabytes: float | None) -> None:
    """Take no more than so much: of the GPU's memory, or without one of the machine's.

    Raises MachineError where there is less than that.
    """
    if gigabytes is None:
        return
    wanted = round(gigabytes * 1e9)
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        if wanted > total:
            raise MachineError(f"the GPU has {total / 1e9:.1f} GB, not {gigabytes}: allow less")
        torch.cuda.set_per_process_memory_fraction(wanted / total)
    else:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help: CUDA's allocator, the CPU's, or cuBLAS' and NCCL's.

    torch.save hides what interrupted it behind "unexpected pos": what an error came of counts.
    """
    signs = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return any(
        isinstance(one, torch.OutOfMemoryError | MemoryError)
        or (isinstance(one, RuntimeError) and any(sign in str(one) for sign in signs))
        for one in _came_of(error)
    )


def unwritable(error: BaseException) -> str | None:
    """Why a file could not be written, if that is what happened: the disk is full, or a limit."""
    for one in _came_of(error):
        if isinstance(one, OSError) and one.errno in FULL:
            return one.strerror or str(one)
        if "file write failed" in str(one) or "No space left on device" in str(one):
            return "a file could not be written"  # torch's and safetensors' own writers
    return None


def _came_of(error: BaseException) -> Iterator[BaseException]:
    """An error, and those during whose handling it was raised."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def become(command: list[str]) -> NoReturn:
    """Go on as another program in this process's place: same number, same standard streams.

    Nothing that this one held is left to it: no file but those, no loader, no GPU memory.
    """
    for child in multiprocessing.active_children():  # they have our files, the GPU's among them
        child.kill()
        child.join()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.set_inheritable(int(name), False)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)


def die_with_parent() -> None:
    """End our whole process group when standard input ends: whoever started us is gone."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
