"""Tiling against an independent restatement of InternVL2's rule."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine import tiling

sides = st.integers(1, 6000)


def restated(width: int, height: int, most: int) -> tuple[int, int]:
    """The rule in exact fractions: nearest shape; of equally near grids the largest one that the
    photo fills to more than half, else the smallest."""
    shape = Fraction(width, height)
    every = [(c, r) for c in range(1, most + 1) for r in range(1, most + 1) if c * r <= most]
    nearest = min(abs(shape - Fraction(c, r)) for c, r in every)
    near = sorted((c * r, c, r) for c, r in every if abs(shape - Fraction(c, r)) == nearest)
    filled = [(c, r) for n, c, r in near if 2 * width * height > 448 * 448 * n]
    return filled[-1] if filled else near[0][1:]


def test_there_are_35_grids_of_at_most_12_tiles() -> None:
    """The number on InternVL2's model card."""
    assert len(tiling.grids(12)) == 35
    assert max(c * r for c, r in tiling.grids(12)) == 12


@given(sides, sides, st.sampled_from([1, 6, 12]))
def test_the_grid_is_the_one_the_rule_gives(width: int, height: int, most: int) -> None:
    """For any size; where floats blur an exact tie, both grids are as near."""
    got, expected = tiling.grid(width, height, most), restated(width, height, most)
    shape = width / height
    assert got == expected or abs(shape - got[0] / got[1]) == pytest.approx(
        abs(shape - expected[0] / expected[1]), abs=1e-12
    )


def test_no_photo_is_nearest_to_two_grids_of_as_many_tiles() -> None:
    """So the order among them, which InternVL2 leaves to a set, never matters."""
    every = {Fraction(c, r): c * r for c, r in sorted(tiling.grids(12), key=lambda g: -g[0] * g[1])}
    for shape, count in every.items():
        for other, as_many in every.items():
            if shape < other and count == as_many:
                middle = (shape + other) / 2
                assert any(abs(middle - third) < other - middle for third in every)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (448, 448, (1, 1)),
        (640, 640, (2, 2)),  # over half of four tiles
        (1280, 960, (4, 3)),
        (960, 1280, (3, 4)),
        (1300, 650, (4, 2)),
        (400, 200, (2, 1)),  # too small for more
        (6000, 100, (12, 1)),
    ],
)
def test_known_photos_get_known_grids(width: int, height: int, expected: tuple[int, int]) -> None:
    """Worked out by hand."""
    assert tiling.grid(width, height, 12) == expected


def test_tiles_come_row_by_row_and_the_thumbnail_last() -> None:
    """A photo of six coloured squares comes apart into them."""
    colours = [(i * 40, 255 - i * 40, i * 20) for i in range(6)]
    photo = Image.new("RGB", (3 * 448, 2 * 448))
    for i, colour in enumerate(colours):
        photo.paste(colour, (448 * (i % 3), 448 * (i // 3), 448 * (i % 3 + 1), 448 * (i // 3 + 1)))
    cut = tiling.tiles(photo)
    assert cut.shape == (7, 448, 448, 3)
    for tile, colour in zip(cut, colours, strict=False):
        assert (tile == colour).all()
    assert tiling.tiles(photo, thumbnail=False).shape[0] == 6
    assert tiling.tiles(photo, most=1).shape == (1, 448, 448, 3)


def test_normalised_pixels_have_imagenets_scale() -> None:
    """The mean becomes nought; one deviation above it becomes one."""
    grey = np.array(tiling.MEAN) * 255
    light = grey + np.array(tiling.STD) * 255
    cut = np.stack([np.full((2, 2, 3), c) for c in (grey, light)])
    scaled = tiling.normalised(np.rint(cut).astype(np.uint8))
    assert scaled.shape == (2, 3, 2, 2)
    assert scaled[0] == pytest.approx(0, abs=0.01)
    assert scaled[1] == pytest.approx(1, abs=0.01)
