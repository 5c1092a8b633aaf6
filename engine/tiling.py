"""InternVL2's dynamic tiling: a photo as 448-pixel tiles in the grid nearest to its shape.

```
 1280 x 960 ─▶ grid 4 x 3 ─▶ 12 tiles, row by row ─▶ + the whole photo in one tile (thumbnail)
```

The rule is that of `dynamic_preprocess` on InternVL2's model card: among all grids of at most
`most` tiles, the one whose width to height is nearest to the photo's; among equally near ones the
last (grids come by number of tiles) for which the photo has more than half the grid's pixels.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: ImageNet's, per channel of RGB in 0..1.
MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)


@cache
def grids(most: int, least: int = 1) -> tuple[tuple[int, int], ...]:
    """All (columns, rows) of `least` to `most` tiles, fewest tiles first: 35 of them up to 12.

    Grids of as many tiles come by columns; InternVL2 leaves that order to a Python set. It does not
    matter: no two of them are ever the nearest to one photo.
    """
    found = (
        (columns, rows)
        for columns in range(1, most + 1)
        for rows in range(1, most // columns + 1)
        if least <= columns * rows
    )
    return tuple(sorted(found, key=lambda grid: (grid[0] * grid[1], grid)))


def grid(width: int, height: int, most: int, size: int = 448) -> tuple[int, int]:
    """The (columns, rows) for a photo of that many pixels."""
    shape, area = width / height, width * height
    best, nearest = (1, 1), float("inf")
    for columns, rows in grids(most):
        distance = abs(shape - columns / rows)
        enough = area > 0.5 * size * size * columns * rows
        if distance < nearest or (distance == nearest and enough):
            best, nearest = (columns, rows), distance
    return best


def tiles(
    photo: Image.Image, most: int = 12, size: int = 448, thumbnail: bool = True
) -> NDArray[np.uint8]:
    """The photo's tiles (tiles, size, size, 3), row by row; the thumbnail last, if over one."""
    columns, rows = grid(photo.width, photo.height, most, size)
    whole = _resized(photo, size * columns, size * rows)
    cut = whole.reshape(rows, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)
    if thumbnail and len(cut) > 1:
        cut = np.concatenate([cut, _resized(photo, size, size)[None]])
    return np.ascontiguousarray(cut)


def normalised(cut: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the vision encoder takes: (tiles, 3, size, size), zero mean and unit variance."""
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
    scaled = (cut.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def _resized(photo: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    """Bicubic, as torchvision resizes a PIL image and as InternVL2 was trained."""
    if photo.size != (width, height):
        photo = photo.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(photo)
