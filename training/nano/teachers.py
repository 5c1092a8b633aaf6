# mypy: disable-error-code="import-not-found,misc,no-any-return,untyped-decorator"
"""Convolutional teachers: one timm network a GPU, trained side by side until the clock says stop.

Each learns from strongly augmented views with timm's Mixup and CutMix, SGD with Nesterov momentum,
a cosine schedule that follows the clock, and an averaged copy (timm's ModelEmaV3), which is the one
that is kept.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from timm.data.mixup import Mixup
from timm.optim import param_groups_weight_decay
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from training.nano import augment, packs

log = logging.getLogger(__name__)

#: Ticks of a schedule that follows the clock: resolution of the learning rate.
TICKS = 100_000
#: Share of the time in which the learning rate rises.
WARM_UP = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One teacher."""

    name: str
    #: Pixels on a side that the 64-pixel views are enlarged to.
    size: int = 128
    batch: int = 512
    learning_rate: float = 0.4
    weight_decay: float = 4e-4


class Data:
    """All photos on one device, channels first."""

    def __init__(self, photos: packs.Photos, device: torch.device) -> None:
        images = torch.from_numpy(np.array(photos.images))
        self.images = images.to(device).permute(0, 3, 1, 2).contiguous()
        self.labels = torch.from_numpy(np.array(photos.labels)).to(device)
        val = torch.from_numpy(np.array(photos.val)).to(device)
        self.val = val.nonzero().squeeze(1)
        self.train = (~val).nonzero().squeeze(1)
        self.names = photos.names
        self.device = device


class Clock:
    """Time as a share of a budget, counted on from what earlier runs spent."""

    def __init__(self, seconds: float, spent: float = 0.0) -> None:
        self._start = time.monotonic() - spent
        self._seconds = seconds

    @property
    def spent(self) -> float:
        return time.monotonic() - self._start

    @property
    def progress(self) -> float:
        # A slow start may have used up the budget: then the time is over, not endless.
        return min(1.0, self.spent / self._seconds) if self._seconds > 0 else 1.0

    @property
    def tick(self) -> int:
        return int(self.progress * TICKS)


class Enlarged(nn.Module):
    """A network that sees its input at `size` pixels on a side."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)
        return self.network(x.contiguous(memory_format=torch.channels_last))


def cosine(optimizer: torch.optim.Optimizer, floor: float) -> CosineLRScheduler:
    """timm's cosine schedule over TICKS instead of steps."""
    return CosineLRScheduler(
        optimizer,
        t_initial=TICKS,
        lr_min=floor,
        warmup_t=int(WARM_UP * TICKS),
        warmup_lr_init=floor,
        warmup_prefix=False,
        t_in_epochs=False,
    )


def train(recipe: Recipe, data: Data, until: float, save: Path, *, compiled: bool) -> float:
    """Train one teacher till the time `until`, write its averaged weights, return val top-1."""
    device = data.device
    network = timm.create_model(recipe.name, num_classes=len(data.names), drop_path_rate=0.05)
    model = Enlarged(network, recipe.size).to(device, memory_format=torch.channels_last)
    average = ModelEmaV3(model, decay=0.9993, use_warmup=True, foreach=True)
    optimizer = torch.optim.SGD(
        param_groups_weight_decay(model, recipe.weight_decay),
        lr=recipe.learning_rate,
        momentum=0.9,
        nesterov=True,
    )
    schedule = cosine(optimizer, 1e-4)
    mixup = Mixup(
        mixup_alpha=0.4, cutmix_alpha=1.0, label_smoothing=0.1, num_classes=len(data.names)
    )
    forward = torch.compile(model, dynamic=False) if compiled else model

    def learn(rows: Tensor) -> Tensor:
        x, y = mixup(augment.views(data.images[rows]), data.labels[rows])
        with torch.autocast(device.type, torch.bfloat16):
            logits = forward(x)
        loss = -(y * F.log_softmax(logits.float(), 1)).sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        return loss.detach()

    loss = learn(data.train[: recipe.batch])  # compiles, before the clock starts
    log.info("%s starts with %.0f s", recipe.name, until - time.time())
    clock, step, report = Clock(until - time.time()), 0, 0.25
    rows = data.train[:0]
    while clock.progress < 1:
        if len(rows) < recipe.batch:
            rows = data.train[torch.randperm(len(data.train), device=device)]
        schedule.step_update(clock.tick)
        loss = learn(rows[: recipe.batch])
        rows = rows[recipe.batch :]
        step += 1
        average.update(model, step=step)
        if step % 16 == 0 and device.type == "cuda":
            torch.cuda.synchronize()  # else the clock runs ahead of the device
        if clock.progress >= report:
            report += 0.25
            _keep(recipe, average.module, save)
            top1 = accuracy(probabilities([average.module], data, data.val), data)[0]
            epochs = step * recipe.batch / len(data.train)
            record = {"teacher": recipe.name, "epochs": round(epochs, 1), "loss": loss.item()}
            log.info("%s", json.dumps({**record, "seconds": clock.spent, "val_top1": top1}))
    _keep(recipe, average.module, save)
    top1 = accuracy(probabilities([average.module], data, data.val), data)[0]
    epochs = step * recipe.batch / len(data.train)
    log.info("%s", json.dumps({"teacher": recipe.name, "epochs": epochs, "final_val_top1": top1}))
    return top1


def _keep(recipe: Recipe, average: nn.Module, save: Path) -> None:
    prefix = "network."
    weights = {k.removeprefix(prefix): v.cpu() for k, v in average.state_dict().items()}
    torch.save({"name": recipe.name, "size": recipe.size, "weights": weights}, save)


def load(path: Path, dishes: int, device: torch.device) -> nn.Module:
    """A saved teacher in evaluation mode; in bfloat16 on a GPU."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    network = timm.create_model(saved["name"], num_classes=dishes)
    network.load_state_dict(saved["weights"])
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = Enlarged(network, saved["size"]).to(device, dtype, memory_format=torch.channels_last)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def ensemble(teachers: list[nn.Module], x: Tensor) -> Tensor:
    """Mean probabilities, float32 (b, dishes), of normalised views."""
    total = torch.zeros((), device=x.device)
    for teacher in teachers:
        weight = next(teacher.parameters())
        with torch.autocast(x.device.type, torch.bfloat16, enabled=weight.dtype == torch.float32):
            logits = teacher(x.to(weight.dtype))
        total = total + logits.float().softmax(1)
    return total / len(teachers)


def probabilities(teachers: list[nn.Module], data: Data, rows: Tensor) -> Tensor:
    """`ensemble` of unaugmented photos, in batches."""
    modes = [teacher.training for teacher in teachers]
    for teacher in teachers:
        teacher.eval()
    parts = [ensemble(teachers, augment.clean(data.images[part])) for part in rows.split(1024)]
    for teacher, mode in zip(teachers, modes, strict=True):
        teacher.train(mode)
    return torch.cat(parts)


def accuracy(scores: Tensor, data: Data) -> tuple[float, float, float]:
    """Top-1, top-3 and top-5 of scores (len(data.val), dishes)."""
    best = scores.topk(min(5, scores.shape[1]), 1).indices == data.labels[data.val][:, None]
    return tuple(best[:, :k].any(1).float().mean().item() for k in (1, 3, 5))
