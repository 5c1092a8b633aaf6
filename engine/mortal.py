"""LMDeploy's PyTorch engine, a process of its own under api_server, ends with it.

LMDeploy 0.18 ends it as api_server ends in order. Killed, api_server leaves it behind with the
memory of the GPU, which the next one then lacks.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from typing import Any


def bind() -> None:
    """Have the engine processes that this process starts end with it, whatever ends it."""
    from lmdeploy.pytorch.engine.mp_engine.zmq_engine import ZMQMPEngine

    ZMQMPEngine._mp_proc = staticmethod(_engine)


def _engine(*given: Any, **how: Any) -> None:
    """What the engine's process runs: LMDeploy's own, once the kernel knows."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        sys.exit("orphaned")
    from lmdeploy.pytorch.engine.mp_engine.zmq_engine import ZMQMPEngine

    ZMQMPEngine._mp_proc(*given, **how)
