# mypy: disable-error-code="import-not-found,misc"
"""A ring of training views with what the teachers said of them: each is used several times."""

from __future__ import annotations

import torch
from torch import Tensor


class Ring:
    """The latest views of one GPU with what the teachers said of them."""

    def __init__(self, size: int, dishes: int, pixels: int, device: torch.device) -> None:
        self._views = torch.empty(size, 3, pixels, pixels, dtype=torch.bfloat16, device=device)
        self._targets = torch.empty(size, dishes, device=device)
        self._next = 0
        self._filled = 0

    def add(self, views: Tensor, targets: Tensor) -> None:
        """Put views in the places of the oldest ones."""
        size = len(self._views)
        places = (torch.arange(len(views), device=views.device) + self._next) % size
        self._views[places] = views.to(self._views.dtype)
        self._targets[places] = targets
        self._next = (self._next + len(views)) % size
        self._filled = min(size, self._filled + len(views))

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Random views, half of them mirrored, with their targets."""
        places = torch.randint(self._filled, (count,), device=self._views.device)
        x = self._views[places]
        mirrored = torch.rand(count, 1, 1, 1, device=x.device) < 0.5
        return torch.where(mirrored, x.flip(3), x), self._targets[places]
