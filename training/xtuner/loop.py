# mypy: disable-error-code="import-not-found,misc"
"""The training loop's two additions: go on in the middle of the data, and say how far it is.

``progress.jsonl`` in the work folder gains one line each ``every`` iterations:
``{"iteration", "iterations", "loss", "lr", "samples_per_second", "seconds_left", "memory_mb"}``.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner.loops import _InfiniteDataloaderIterator
from xtuner.engine.runner import TrainLoop

PROGRESS = "progress.jsonl"


class ResumingLoop(TrainLoop):
    """XTuner's loop, but a resumed run skips what it has seen without reading it."""

    def run(self) -> Any:
        """Train to the last iteration."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        if self._iter:
            self.dataloader.sampler.skip = self._iter
            self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model


class ProgressHook(Hook):
    """Writes progress as JSON lines; only the first process does."""

    priority = "VERY_LOW"

    def __init__(self, folder: str, samples: int, every: int = 10) -> None:
        self.path = Path(folder, PROGRESS)
        self.samples = samples
        self.every = every

    def before_train(self, runner: Any) -> None:
        self.start = self.last = time.monotonic()
        self.first = self.seen = runner.iter
        self.losses: list[torch.Tensor] = []

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if outputs:
            self.losses.append(outputs["loss"].detach())
        done = runner.iter + 1
        if (done % self.every and done != runner.max_iters) or runner.rank != 0:
            return
        loss = torch.stack(self.losses).mean().item()
        now = time.monotonic()
        rate = (done - self.seen) / (now - self.last)
        line = {
            "iteration": done,
            "iterations": runner.max_iters,
            "loss": round(loss, 5),
            "lr": runner.optim_wrapper.get_lr()["lr"][-1],
            "samples_per_second": round(rate * self.samples * runner.world_size, 2),
            "seconds_left": round((runner.max_iters - done) / rate, 1),
            "memory_mb": torch.cuda.max_memory_allocated() >> 20
            if torch.cuda.is_available()
            else None,
        }
        self.losses, self.last, self.seen = [], now, done
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
