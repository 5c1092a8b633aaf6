"""Drawn pictures with nothing to eat in them: to learn from, and others to be checked on."""

from __future__ import annotations

import numpy as np
from PIL import Image


def learnt(seed: int) -> Image.Image:
    """A picture of nothing to eat: cloth, stripes, text, fog; another for each seed."""
    rng = np.random.default_rng([29, seed])
    kind, tint = seed % 4, rng.uniform(0.5, 1, 3)
    rows, columns = np.mgrid[0:240, 0:320]
    if kind == 0:
        step = int(rng.integers(14, 50))
        grey = ((rows // step + columns // step) % 2) * 255.0
    elif kind == 1:
        grey = rng.uniform(0, 255, (240, 320))
    elif kind == 2:
        grey = np.full((240, 320), 240.0)
        gap = int(rng.integers(10, 20))
        grey[16:224:gap, 24:296] = np.where(
            rng.random((len(range(16, 224, gap)), 272)) < 0.7, 30, 240
        )
    else:
        first, last = rng.uniform(40, 250, 2).tolist()
        grey = np.linspace(first, last, 240)[:, None] + np.zeros((1, 320))
    pixels = (grey[..., None] * tint).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def checked() -> dict[str, Image.Image]:
    """A board, noise, a page and a sky, by name."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:240, 0:320]
    page = np.full((240, 320), 245)
    page[20:220:16, 30:290] = np.where(rng.random((13, 260)) < 0.7, 30, 245)
    grey = {
        "board": ((rows // 30 + columns // 30) % 2) * 255,
        "noise": rng.integers(0, 255, (240, 320)),
        "page": np.repeat(page[::2], 2, 0),
        "sky": np.broadcast_to(np.linspace(90, 220, 240)[:, None], (240, 320)),
    }
    return {
        name: Image.fromarray(pixels.astype(np.uint8)).convert("RGB")
        for name, pixels in grey.items()
    }
