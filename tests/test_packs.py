"""Packs of dish photos: what is built can be read, and what is broken is refused by name."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.nano import packs

NAMES_ZH = {"ramen": "拉面", "sushi": "寿司"}
COLOURS = {"ramen": (200, 120, 40), "sushi": (30, 160, 90)}


def _archive(path: Path, *, photos: int = 30, train: int = 25) -> Path:
    """A food-101.tar.gz of plain pictures, one colour a dish, wide with white flanks."""
    with tarfile.open(path, "w:gz") as tar:

        def add(name: str, data: bytes) -> None:
            member = tarfile.TarInfo(f"food-101/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

        for label, colour in COLOURS.items():
            for number in range(photos):
                photo = Image.new("RGB", (400, 200), "white")
                photo.paste(colour, (100, 0, 300, 200))
                jpeg = io.BytesIO()
                photo.save(jpeg, "JPEG")
                add(f"images/{label}/{1000 + number}.jpg", jpeg.getvalue())
        lines = [f"{label}/{1000 + n}" for label in COLOURS for n in range(train)]
        add("meta/train.txt", "\n".join(lines).encode())
    return path


def _pack(folder: Path, blob: bytes, line: str) -> Path:
    folder.mkdir()
    (folder / "blobs.bin").write_bytes(blob)
    header = ",".join(packs.FIELDS)
    (folder / "index.csv").write_text(f"{header}\n{line}\n", encoding="utf-8")
    return folder


def _webp(size: int = packs.SIZE) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size), "red").save(out, "WEBP")
    return out.getvalue()


def test_a_pack_built_from_the_archive_holds_the_train_split_only(tmp_path: Path) -> None:
    """Photos outside meta/train.txt stay out; labels, ids and both splits survive the way back."""
    pack = tmp_path / "pack"
    assert packs.build(_archive(tmp_path / "food-101.tar.gz"), pack, NAMES_ZH) == 50
    rows = packs.index(pack)
    assert {row.food101_id for row in rows} == set(range(1000, 1025))
    assert {(row.label_en, row.label_zh) for row in rows} == set(NAMES_ZH.items())
    assert {row.split for row in rows} == {"train", "val"}
    photos = packs.read([pack])
    assert photos.names == ("ramen", "sushi")
    for image, label in zip(photos.images, photos.labels, strict=True):
        # The white flanks are cut away: what is left is the dish's colour, corner to corner.
        assert np.abs(image.astype(int) - COLOURS[photos.names[label]]).max() < 16


def test_the_split_of_a_photo_does_not_depend_on_the_others(tmp_path: Path) -> None:
    """A photo kept for validation in a small archive is kept in a large one."""
    splits = []
    for count in (10, 25):
        pack = tmp_path / str(count)
        archive = _archive(tmp_path / f"{count}.tar.gz", train=count)
        packs.build(archive, pack, NAMES_ZH)
        splits.append({(r.label_en, r.food101_id): r.split for r in packs.index(pack)})
    few, many = splits
    assert few.items() <= many.items()


def test_saved_arrays_load_as_they_were(tmp_path: Path) -> None:
    """Processes share decoded photos through .npy files."""
    pack = _pack(tmp_path / "p", _webp(), f"0,{len(_webp())},val,ramen,拉面,7")
    photos = packs.read([pack])
    packs.save(photos, tmp_path / "arrays")
    again = packs.load(tmp_path / "arrays")
    assert again.names == photos.names
    assert again.ids.tolist() == [7]
    assert again.val.tolist() == [True]
    assert np.array_equal(again.images, photos.images)


@pytest.mark.parametrize(
    ("blob", "line", "message"),
    [
        (_webp(), "0,x,train,ramen,拉面,1", "line 2"),
        (_webp(), "0,10,test,ramen,拉面,1", "split 'test'"),
        (_webp(), "-5,10,train,ramen,拉面,1", "-5"),
        (_webp(), "0,99999,train,ramen,拉面,1", "ends past the file"),
        (b"no picture here", "0,15,train,ramen,拉面,1", "not a photo"),
        (_webp(32), f"0,{len(_webp(32))},train,ramen,拉面,1", "wants"),
    ],
)
def test_a_broken_pack_is_refused(tmp_path: Path, blob: bytes, line: str, message: str) -> None:
    """The error names the file or the row, and no photo is quietly left out."""
    pack = _pack(tmp_path / "p", blob, line)
    with pytest.raises(packs.PackError, match=message):
        packs.read([pack])


def test_an_archive_without_its_split_list_is_refused(tmp_path: Path) -> None:
    """Another tar file is not taken for Food-101."""
    path = tmp_path / "other.tar.gz"
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(packs.PackError, match=r"meta/train\.txt"):
        packs.build(path, tmp_path / "pack", NAMES_ZH)


def test_a_missing_pack_is_named(tmp_path: Path) -> None:
    """The message says which file a pack lacks."""
    with pytest.raises(packs.PackError, match=r"index\.csv"):
        packs.read([tmp_path / "nowhere"])
