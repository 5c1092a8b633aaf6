# mypy: disable-error-code="import-not-found,misc,untyped-decorator"
"""Soft labels: what the teachers and the finished student say of each photo, for later stages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from training.nano import augment, teachers

#: Most likely dishes kept for each photo.
KEPT = 10
#: Light views of each photo that are averaged over.
LOOKS = 2


@torch.no_grad()
def write(
    data: teachers.Data, chosen: list[nn.Module], student: nn.Module, work: Path, out: Path
) -> None:
    """Write OUT/soft.npz from all processes: `rows`, `dishes` and `probabilities`.

    `rows` numbers the photos as `packs.read` does; of each, `dishes` (n, KEPT) are the likeliest by
    the mean, over LOOKS light views, of the teachers' ensemble and the student.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    student.eval()
    rows = torch.cat([data.train, data.val]).sort().values[rank::world]
    best = []
    for part in rows.split(512):
        total = torch.zeros(len(part), len(data.names), device=data.device)
        for _ in range(LOOKS):
            x = augment.views(data.images[part], least_area=0.7, strength=0.3)
            total += teachers.ensemble(chosen, x) + teachers.ensemble([student], x)
        best.append((total / 2 / LOOKS).topk(min(KEPT, len(data.names)), 1))
    np.savez(
        work / f"soft-{rank}.npz",
        rows=rows.cpu().numpy().astype(np.int32),
        dishes=torch.cat([b.indices for b in best]).cpu().numpy().astype(np.uint8),
        probabilities=torch.cat([b.values for b in best]).cpu().numpy().astype(np.float16),
    )
    dist.barrier()
    if rank == 0:
        parts = [np.load(work / f"soft-{i}.npz") for i in range(world)]
        order = np.argsort(np.concatenate([part["rows"] for part in parts]))
        np.savez_compressed(
            out / "soft.npz",
            rows=np.concatenate([part["rows"] for part in parts])[order],
            dishes=np.concatenate([part["dishes"] for part in parts])[order],
            probabilities=np.concatenate([part["probabilities"] for part in parts])[order],
        )
