# mypy: disable-error-code="import-not-found,misc"
"""What the training loop has besides XTuner's: it keeps the vision encoder's features before it
starts, goes on in the middle of the data, in smaller parts if it must, and says how far it is.

``progress.jsonl`` in the work folder gains one line each ``every`` iterations:
``{"iteration", "iterations", "loss", "lr", "samples_per_second", "seconds_left", "memory_mb"}``.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner.loops import _InfiniteDataloaderIterator
from PIL import UnidentifiedImageError
from torch.utils.data import DataLoader, Dataset
from xtuner.engine.runner import TrainLoop

from . import cache
from .data import DataError, DialogueDataset

PROGRESS = "progress.jsonl"
#: What a learning-rate schedule counts in iterations.
COUNTS = {"begin", "end", "last_step", "_global_step", "T_max", "total_iters"}


class ResumingLoop(TrainLoop):
    """XTuner's loop, but a resumed run skips what it has seen without reading it.

    ``split`` is into how many parts a batch is cut: where a checkpoint was made with another, its
    iterations and schedules are counted anew. ``features_limit``: see `cache.fill`.
    """

    _iter: int

    def __init__(self, *args: Any, split: int = 1, features_limit: int = 0, **kwargs: Any) -> None:
        self.split, self.features_limit = split, features_limit
        super().__init__(*args, **kwargs)

    def run(self) -> Any:
        """Train to the last iteration."""
        self._keep_features()
        if self._iter:
            self._count_anew()
            self.dataloader.sampler.skip = self._iter
        # Another one: loader processes read ahead as soon as they are there, and saw no features.
        self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        self.runner.message_hub.update_info("split", self.split)
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _count_anew(self) -> None:
        hub, runner = self.runner.message_hub, self.runner
        before = hub.get_info("split", 1)
        if before == self.split:
            return
        self._iter = self._iter * self.split // before
        for schedule in schedules(runner.param_schedulers):
            for name in COUNTS & vars(schedule).keys():
                setattr(schedule, name, getattr(schedule, name) * self.split // before)
        if hasattr(runner.optim_wrapper, "initialize_count_status"):
            runner.optim_wrapper.initialize_count_status(runner.model, self._iter, self._max_iters)

    def _keep_features(self) -> None:
        """Show every photo to the frozen vision encoder once; each process its share."""
        dataset = self.dataloader.dataset
        if dataset.features is None:
            return
        photos = [dataset.photo(index) for index in range(len(dataset))]
        wanted = [photo for photo in dict.fromkeys(photos) if photo is not None]
        missing = cache.missing(dataset.features, wanted)
        barrier()  # nobody writes before everybody knows what is missing
        left = missing[get_rank() :: get_world_size()]
        model = critic(self.runner.model)
        turns = Turns(model)
        if left and self.features_limit:
            workers = self.dataloader.num_workers
            tiles = DataLoader(Tiles(dataset, left), batch_size=None, num_workers=workers)
            limit = self.features_limit // get_world_size()
            made = cache.fill(dataset.features, tiles, turns.look, limit, wanted)
            self.runner.logger.info(f"kept the features of {made} of {len(left)} photos")
        turns.end()
        barrier()
        if get_world_size() > 1:  # each step all see photos, or all see features
            lacking = turns.sum(len(cache.missing(dataset.features, wanted)))
            if lacking:
                self.runner.logger.warning("not all features are kept: every photo is seen anew")
                dataset.features = None
        model.sees_features = dataset.features is not None


class Turns:
    """Several processes that look at photos, each at as many as it has.

    ZeRO-3 cuts the vision encoder up among them, and puts a layer together when all of them come to
    it: whoever is through looks at nothing until the others are.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        shared = any(hasattr(weight, "ds_id") for weight in model.model.vision_model.parameters())
        self.together = shared and get_world_size() > 1

    def look(self, tiles: torch.Tensor) -> torch.Tensor:
        """As `Critic.look`."""
        if self.together:
            self.sum(1)
        features: torch.Tensor = self.model.look(tiles)
        return features

    def end(self) -> None:
        """Wait until all are through."""
        size = self.model.image_size
        while self.together and self.sum(0):
            self.model.look(torch.zeros(1, 3, size, size, dtype=torch.uint8))

    def sum(self, mine: int) -> int:
        """What all processes say together."""
        counts = torch.tensor(mine, device=next(self.model.parameters()).device)
        all_reduce(counts)
        return int(counts)


class Tiles(Dataset[tuple[Path, torch.Tensor]]):
    """Photos and their tiles."""

    def __init__(self, dataset: DialogueDataset, photos: list[Path]) -> None:
        self.dataset, self.photos = dataset, photos

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[Path, torch.Tensor]:
        photo = self.photos[index]
        try:
            return photo, self.dataset.tiles(photo)
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"{photo} cannot be read: {error}") from error


def critic(model: Any) -> Any:
    """The model inside DeepSpeed's and torch's wrappers."""
    while not hasattr(type(model), "look"):  # DeepSpeed's engine lends itself its module's
        model = model.module if hasattr(model, "module") else model.model
    return model


def schedules(given: Any) -> list[Any]:
    """mmengine keeps a list, or a dict of lists."""
    return [s for part in given.values() for s in part] if isinstance(given, dict) else list(given)


class Diverged(Exception):
    """The loss is no number any more; the message says what may help."""


class ProgressHook(Hook):
    """Writes progress as JSON lines; only the first process does.

    A single loss may overflow in float16, and DeepSpeed skips that step; raises Diverged when all
    since the line before have.
    """

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
        losses = torch.stack(self.losses).float()
        finite = losses[losses.isfinite()]
        if not len(finite):
            raise Diverged(
                f"no finite loss in {len(losses)} iterations before the {done}th: lower "
                "optimizer.lr, or set optimizer.precision to bf16 or fp32"
            )
        loss = finite.mean().item()
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
