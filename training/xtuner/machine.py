# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""What the machine is, and what XTuner's parts must be told of it before they are imported.

The package calls ``settle`` when it is imported, before any of its modules imports XTuner.
"""

from __future__ import annotations

import os
import sys

import torch


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
    if not torch.cuda.is_available():
        sys.modules["triton"] = None  # type: ignore[assignment]


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0))
