"""The real one's process, which api_server starts for the PyTorch engine, without an engine."""

import atexit
import multiprocessing
import time


class ZMQMPEngine:
    """Started by spawn, and ended as its parent ends in order."""

    def __init__(self) -> None:
        self.proc = multiprocessing.get_context("spawn").Process(target=self._mp_proc)
        self.proc.start()
        atexit.register(self.close)

    @staticmethod
    def _mp_proc() -> None:
        print("engine loaded", flush=True)  # noqa: T201
        time.sleep(600)

    def close(self) -> None:
        self.proc.terminate()
        self.proc.join()
