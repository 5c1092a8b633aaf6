"""Photos from strangers: every kind that people send, and everything that they should not."""

import io
import random
import stat
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from foodcritic import photos
from foodcritic.errors import PhotoCode, PhotoError

pillow_heif.register_heif_opener()
RED, WHITE = (255, 0, 0), (255, 255, 255)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def scene(mode: str = "RGB") -> Image.Image:
    """Left half red, right half white, wider than high."""
    image = Image.new("RGB", (64, 32), WHITE)
    image.paste(RED, (0, 0, 32, 32))
    return image.convert(mode)


def looks_like_the_scene(image: Image.Image, tolerance: int = 40) -> bool:
    pixels = np.asarray(image, dtype=int)
    left, right = pixels[4:28, 4:28].mean((0, 1)), pixels[4:28, 36:60].mean((0, 1))
    return bool(abs(left - RED).max() < tolerance and abs(right - WHITE).max() < tolerance)


def refused(data: bytes) -> str:
    with pytest.raises(PhotoError) as caught:
        photos.decode(data)
    assert str(caught.value)
    return caught.value.code


ACCEPTED: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(scene(), "JPEG", quality=95),
    "cmyk jpeg": lambda: saved(scene("CMYK"), "JPEG", quality=95),
    "png": lambda: saved(scene()),
    "palette": lambda: saved(scene("P")),
    "rgba": lambda: saved(scene("RGBA")),
    "webp": lambda: saved(scene(), "WEBP", lossless=True),
    "gif": lambda: saved(scene("P"), "GIF"),
    "bmp": lambda: saved(scene(), "BMP"),
    "heic": lambda: saved(scene(), "HEIF", quality=95),
    "avif": lambda: saved(scene(), "AVIF", quality=95),
    "mpo": lambda: saved(scene(), "MPO", save_all=True, append_images=[scene("L")], quality=95),
    "animated gif": lambda: saved(
        scene(), "GIF", save_all=True, append_images=[Image.new("RGB", (64, 32), "blue")]
    ),
    "animated webp": lambda: saved(
        scene(), "WEBP", save_all=True, append_images=[Image.new("RGB", (64, 32), "blue")]
    ),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_people_send_looks_as_it_should(kind: str) -> None:
    """RGB, the first frame, the right colours."""
    image = photos.decode(ACCEPTED[kind]())
    assert (image.mode, image.size) == ("RGB", (64, 32))
    assert looks_like_the_scene(image)


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_exif_orientation_is_turned_upright(turn: int) -> None:
    """A phone held any way shows the same scene."""
    methods = Image.Transpose
    undo = {
        2: methods.FLIP_LEFT_RIGHT,
        3: methods.ROTATE_180,
        4: methods.FLIP_TOP_BOTTOM,
        5: methods.TRANSPOSE,
        6: methods.ROTATE_90,
        7: methods.TRANSVERSE,
        8: methods.ROTATE_270,
    }
    stored = scene().transpose(undo[turn]) if turn in undo else scene()
    exif = Image.Exif()
    exif[0x0112] = turn
    data = saved(stored, "JPEG", exif=exif, quality=95)
    assert looks_like_the_scene(photos.decode(data))


def test_transparency_is_over_white() -> None:
    """Not over black, which a sticker's edges would show."""
    for image in (
        Image.new("RGBA", (8, 8), (0, 0, 0, 0)),
        Image.new("LA", (8, 8), (0, 0)),
    ):
        assert photos.decode(saved(image)).getpixel((4, 4)) == WHITE
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert photos.decode(saved(palette, transparency=1)).getpixel((4, 4)) == WHITE


def test_sixteen_bits_keep_their_range() -> None:
    """Pillow's own conversion would clip all but the darkest to white."""
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels = np.asarray(photos.decode(saved(Image.fromarray(ramp))))[..., 0].ravel()
    assert (pixels[0], pixels[128], pixels[-1]) == (0, 128, 255)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x00" * 4096,
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"%PDF-1.7\n1 0 obj",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        saved(scene(), "TIFF"),
        saved(scene(), "ICO"),
        saved(scene(), "PPM"),
    ],
)
def test_what_is_no_photo_is_refused_as_such(data: bytes) -> None:
    """Formats that are interpreted, rare or broken never reach their decoders."""
    assert refused(data) == "not_an_image"


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "heic", "avif", "gif"])
def test_a_photo_cut_short_is_refused(kind: str) -> None:
    """Half a photo is not judged as if it were whole."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))
    kinds = {"heic": "HEIF"}
    data = saved(noise, kinds.get(kind, kind.upper()))
    for share in (0.05, 0.6, 0.98):
        assert refused(data[: int(len(data) * share)]) == "truncated"


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header promises more pixels than it holds."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checked)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\x00" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(8000, 7000), (60000, 60000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a byte is decompressed."""

    def load(_: Image.Image) -> None:
        pytest.fail("it is being decompressed")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert refused(png_claiming(*size)) == "too_many_pixels"


def test_large_photos_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    """46 bytes of WebP ask for 224 MB here: three such at once must not ask for thrice as much."""
    bomb = tmp_path / "bomb.webp"
    bomb.write_bytes(saved(Image.new("RGBA", (4000, 3500), RED), "WEBP", lossless=True, method=0))
    program = """if True:
        import resource, sys, threading
        from pathlib import Path
        from foodcritic import photos

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

        data, before = Path(sys.argv[1]).read_bytes(), peak()
        together = [threading.Thread(target=photos.decode, args=(data,)) for _ in range(3)]
        for thread in together:
            thread.start()
        for thread in together:
            thread.join()
        print(peak() - before)
    """
    ran = subprocess.run([sys.executable, "-c", program, bomb], capture_output=True, check=True)
    assert int(ran.stdout) < 400


def test_over_20_megabytes_is_refused(tmp_path: Path) -> None:
    """From memory and from disk."""
    data = saved(scene()) + b"\x00" * photos.MAX_BYTES
    assert refused(data) == "too_large"
    file = tmp_path / "big.png"
    file.write_bytes(data)
    with pytest.raises(PhotoError, match=r"big\.png is 20.0 MB: send one of at most 20 MB"):
        photos.load(file)


def test_a_file_without_an_end_is_given_up_at_20_megabytes() -> None:
    """A device or a pipe says nothing of its size."""
    with pytest.raises(PhotoError, match="/dev/zero is more than 20 MB") as refusal:
        photos.load(Path("/dev/zero"))
    assert refusal.value.code == "too_large"


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    """The message is for the person at the shell."""
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(PhotoError, match=f"cannot read {path}"):
            photos.load(path)


def test_a_photo_is_kept_once_by_its_content(tmp_path: Path) -> None:
    """The original bytes, under their hash; a second time changes nothing."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(scene(), "JPEG", exif=exif)
    first = photos.store(tmp_path, data)
    written = first.path.stat()
    assert photos.store(tmp_path, data) == first
    assert first.path.stat().st_ino == written.st_ino
    assert first.path.stat().st_mtime_ns >= written.st_mtime_ns  # wanted again: not to be swept
    assert first.path == tmp_path / first.sha256[:2] / f"{first.sha256}.jpg"
    assert first.path.read_bytes() == data
    assert (first.width, first.height) == (32, 64)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [first.path]


def test_a_kept_photo_is_closed_to_others(tmp_path: Path) -> None:
    photo = photos.store(tmp_path / "media", ACCEPTED["jpeg"]())
    for path in (photo.path, photo.path.parent, photo.path.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_what_is_refused_is_not_kept(tmp_path: Path) -> None:
    """The media folder holds photos only."""
    with pytest.raises(PhotoError):
        photos.store(tmp_path, b"no photo")
    assert not list(tmp_path.rglob("*"))


def test_a_large_jpeg_is_decoded_small_enough_to_be_quick() -> None:
    """Both sides stay above what was asked for."""
    data = saved(Image.new("RGB", (4000, 3000), "red"), "JPEG")
    image = photos.decode(data, side=896)
    assert image.size == (2000, 1500)
    assert photos.decode(data).size == (4000, 3000)


def damaged(seed: int) -> bytes:
    """A photo with a few bytes changed, cut out, doubled or moved."""
    draw = random.Random(seed)
    data = bytearray(draw.choice(list(ACCEPTED.values()))())
    for _ in range(draw.randint(1, 8)):
        place = (
            draw.randrange(len(data)) if draw.random() < 0.5 else draw.randrange(min(64, len(data)))
        )
        action = draw.randrange(4)
        if action == 0:
            data[place] = draw.randrange(256)
        elif action == 1:
            del data[place : place + draw.randrange(1, 40)]
        elif action == 2:
            data[place:place] = data[place : place + draw.randrange(1, 40)]
        else:
            data[place : place + 4] = draw.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"])
        if not data:
            break
    return bytes(data)


#: Seeds that stay, whatever hypothesis draws besides.
SEEDS = range(200)


def check(data: bytes) -> None:
    """Decoded or refused with one of our codes, in bounded time."""
    started = time.monotonic()
    try:
        image = photos.decode(data)
    except PhotoError as error:
        code: str = error.code
    else:
        code = image.mode
    assert code in ("RGB", *get_args(PhotoCode))
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_photo_is_decoded_or_refused(seed: int) -> None:
    """Two hundred kept cases: no crash, no hang, no stray exception."""
    check(damaged(seed))


@given(st.integers(200, 2**32))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_damage_is_survived(seed: int) -> None:
    """As above, with fresh damage each time."""
    check(damaged(seed))


@given(st.binary(max_size=400), st.sampled_from(["jpeg", "png", "webp", "gif", "heic", "avif"]))
@example(b"", "png")
@settings(max_examples=100, deadline=None)
def test_a_true_beginning_with_any_end_is_survived(end: bytes, kind: str) -> None:
    """The signature alone must not open a door."""
    check(ACCEPTED[kind]()[:48] + end)
