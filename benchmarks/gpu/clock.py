# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""Runs a module with a clock on every training iteration, the same for whatever trains.

FOODCRITIC_BENCH_CLOCK=FILE python -m benchmarks.gpu.clock MODULE ARGUMENTS…
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import training.xtuner  # noqa: F401 - settles the process before anything imports XTuner

STARTED = time.monotonic()


def main() -> None:
    import torch
    from mmengine.hooks import RuntimeInfoHook

    path = Path(os.environ.get("FOODCRITIC_BENCH_CLOCK", os.devnull))
    inner, extra = RuntimeInfoHook.after_train_iter, {}

    def after(self: Any, runner: Any, *args: Any, **kwargs: Any) -> None:
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.synchronize()
        outputs = kwargs.get("outputs") or (args[2] if len(args) > 2 else None) or {}
        line = {
            "started": STARTED,
            "time": time.monotonic(),
            "loss": float(outputs["loss"]) if "loss" in outputs else None,
            "allocated": torch.cuda.max_memory_allocated() if cuda else 0,
            "reserved": torch.cuda.max_memory_reserved() if cuda else 0,
            **extra,
        }
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        inner(self, runner, *args, **kwargs)
        if os.environ.get("FOODCRITIC_BENCH_STOP") and runner.iter + 1 >= runner.max_iters:
            os._exit(0)  # all is measured: no checkpoint is wanted

    RuntimeInfoHook.after_train_iter = after
    from training.xtuner import loop

    fill = loop.ResumingLoop._keep_features

    def timed(self: Any) -> None:
        began = time.monotonic()
        fill(self)
        extra["fill_s"] = round(time.monotonic() - began, 2)

    loop.ResumingLoop._keep_features = timed  # type: ignore[method-assign]
    module, sys.argv = sys.argv[1], sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
