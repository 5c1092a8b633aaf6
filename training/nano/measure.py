# mypy: disable-error-code="import-not-found,misc,untyped-decorator"
"""Measure the student as trained and as the product runs it, and write the weights for 448 pixels.

```
 64-pixel photo ───────────────────────────────▶ patch 4  ─▶ logits (native)
 64-pixel photo ─Pillow, bicubic─▶ 448 pixels ─▶ patch 28 ─▶ logits (product)
```
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from training.nano import augment, packs, student
from training.nano.distil import weights


def networks(out: Path, dishes: int) -> tuple[student.Student, student.Student]:
    """The student for 64-pixel and for 448-pixel photos, from what `distil` left in `out`."""
    trained = weights(out)
    small = student.Student(dishes)
    small.load_state_dict(trained)
    large = student.Student(dishes)
    old = large.vision_model.embeddings.patch_embedding
    large.vision_model.embeddings.patch_embedding = nn.Conv2d(
        3, old.out_channels, student.LARGE_PATCH, student.LARGE_PATCH
    )
    large.load_state_dict(student.inflate(trained))
    return small.eval(), large.eval()


def enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One photo at 448 pixels, as the product's preprocessing makes it."""
    size = (student.LARGE, student.LARGE)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def measure(out: Path, photos: packs.Photos, *, limit: int | None = None) -> dict[str, object]:
    """Top-1, 3 and 5 on val rows at both sizes; writes OUT/vision-448.safetensors and val.npz.

    The 448-pixel size is measured on every k-th val row, `limit` of them (None: all), and the
    native size on all and on the same rows.
    """
    small, large = networks(out, len(photos.names))
    rows = np.flatnonzero(photos.val)
    some = rows[:: max(1, len(rows) // limit)] if limit else rows
    native = np.concatenate(list(_logits(small, photos.images, rows)))
    product = np.concatenate(list(_logits(large, photos.images, some, enlarge=True)))
    at = np.searchsorted(rows, some)
    save_file(dict(large.state_dict()), out / "vision-448.safetensors")
    np.savez_compressed(
        out / "val.npz", rows=rows, logits=native.astype(np.float16), labels=photos.labels[rows]
    )
    return {
        "native": topk(native, photos.labels[rows]),
        "native_same_rows": topk(native[at], photos.labels[some]),
        "product_448": topk(product, photos.labels[some]),
        "rows": len(rows),
        "rows_448": len(some),
        "same_first_guess": float((native[at].argmax(1) == product.argmax(1)).mean()),
    }


def topk(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> list[float]:
    """Top-1, top-3 and top-5 accuracy, as fractions of 1."""
    order = np.argsort(-logits, axis=1)[:, :5] == np.asarray(labels)[:, None]
    return [round(float(order[:, :k].any(1).mean()), 4) for k in (1, 3, 5)]


@torch.inference_mode()
def _logits(
    model: nn.Module, images: NDArray[np.uint8], rows: NDArray[np.int64], *, enlarge: bool = False
) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(rows), 100):
        part = images[rows[start : start + 100]]
        if enlarge:
            part = np.stack([enlarged(image) for image in part])
        pixels: Tensor = torch.from_numpy(np.array(part)).permute(0, 3, 1, 2)
        yield model(augment.clean(pixels)).numpy()
