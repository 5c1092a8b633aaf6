"""Time memes and score cards, and draw the contact sheets of the docs.

    python benchmarks/bench_memes.py [--rounds 20] [--clock cpu] [--json FILE]
    python benchmarks/bench_memes.py --sheet docs/images/memes.jpg
    python benchmarks/bench_memes.py --sheet docs/images/memes-samples.jpg --photos samples

The photo is 1280 x 960. *Drawn* is the picture in memory, *sent* also decodes the photo's JPEG and
encodes the meme's. The first use of a font reads it; the medians are of later ones. Drawing is one
thread's work: on a busy machine the CPU's clock says what the wall's would on an idle one.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from PIL import Image
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
del sys.path[1]  # this folder: nothing here may shadow the standard library

from foodcritic import critique, photos  # noqa: E402
from foodcritic.dishes import Lang  # noqa: E402
from foodcritic.drawing import card, faces, fonts, meme, paint, text  # noqa: E402
from foodcritic.prompts import MemeStyle  # noqa: E402
from tests import plates  # noqa: E402

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
STYLES = get_args(MemeStyle)
CRITIQUE = "**日式拉面**（Ramen）· 日本料理 · 8/10\n\n汤头浓郁，叉烧软嫩，面条还有嚼劲。"
#: Of the contact sheet: pixels of a meme, memes in a row.
COLUMNS, CELL = 6, (232, 174)
#: The same of the sheet on photos: which, what is said about it, in which style.
FEW, LARGE = 4, (356, 267)
SAID: tuple[tuple[str, Lang, str, MemeStyle], ...] = (
    ("donuts", "en", "I came for one photo — I stayed for dessert", "top_bottom"),
    ("sushi", "en", "寿司は別腹。ケーキも別腹。結局、別腹だらけ", "subtitle"),
    ("waffles", "en", "Ещё кусочек", "speech"),
    ("edamame", "zh", "“再吃一口就不吃了”——我说过3次", "top_bottom"),
    ("pizza", "en", "me vs. the last slice 🍕🥊", "subtitle"),
    ("french_fries", "en", "맛있으면 0칼로리", "top_bottom"),
    ("deviled_eggs", "en", "لا تصور الأكل 📸 كُلْ!", "speech"),
    ("macarons", "zh", "这一口下去❤️\u200d🔥，值了👍🏽", "top_bottom"),
)
GAP = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="draw the contact sheet instead")
    parser.add_argument("--photos", type=Path, help="the samples: a sheet of eight on them")
    options = parser.parse_args()
    if options.sheet is not None:
        sheet(options.sheet, options.photos)
    else:
        measure(options.rounds, CLOCKS[options.clock], options.json)


def measure(rounds: int, clock: Clock, file: Path | None) -> None:
    """Print milliseconds per style and script."""
    photo = plates.PICTURES["noodles"]()
    assert photo.size == (1280, 960)
    data = paint.jpeg(photo)
    rows = []
    for style in STYLES:
        for script, some in plates.CAPTIONS.items():
            started = clock()
            meme.draw(photo, some[0][1], style, some[0][0])
            first = clock() - started
            drawn, sent = [], []
            for lang, said in some:
                drawn += timed(clock, rounds, lambda: meme.draw(photo, said, style, lang))  # noqa: B023
                sent += timed(
                    clock,
                    max(1, rounds // 4),
                    lambda: paint.jpeg(meme.draw(photos.decode(data, 1280), said, style, lang)),  # noqa: B023
                )
            rows.append((style, script, first, drawn, sent))
    judged = critique.parse(CRITIQUE)
    started = clock()
    card.draw(photo, judged, "zh")
    first = clock() - started
    drawn = timed(clock, rounds * 4, lambda: card.draw(photo, judged, "zh"))
    sent = timed(
        clock, rounds, lambda: paint.jpeg(card.draw(photos.decode(data, 1280), judged, "zh"))
    )
    rows.append(("card", "zh", first, drawn, sent))
    table = Table("picture", "captions", "first, ms", "drawn, ms", "p95", "sent, ms", "p95")
    found = []
    for style, script, first, drawn, sent in rows:
        numbers = [first, *spread(drawn), *spread(sent)]
        table.add_row(style, script, *(f"{1000 * n:.1f}" for n in numbers))
        keys = ("first", "drawn", "drawn_p95", "sent", "sent_p95")
        found.append(
            {"picture": style, "captions": script}
            | {f"{k}_ms": round(1000 * n, 2) for k, n in zip(keys, numbers, strict=True)}
        )
    Console(highlight=False).print(table)
    if file is not None:
        file.write_text(json.dumps(found, ensure_ascii=False, indent=1))


def timed(clock: Clock, rounds: int, call: Callable[[], object]) -> list[float]:
    """Seconds of each round after one that is not counted."""
    call()
    took = []
    for _ in range(rounds):
        started = clock()
        call()
        took.append(clock() - started)
    return took


def spread(took: list[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]


def sheet(file: Path, folder: Path | None) -> None:
    """Sixty memes, a row and a half per script, or one on each sample; checked for tofu."""
    shown: list[tuple[Image.Image, Lang, str, MemeStyle]]
    if folder is not None:
        shown = [
            (photos.load(folder / f"{name}.jpg", 640), lang, said, style)
            for name, lang, said, style in SAID
        ]
        columns, cell = FEW, LARGE
    else:
        pictures = [
            paint.fitted(make(), 1280, 640)
            for name, make in plates.PICTURES.items()
            if name not in ("noise", "squares", "tiny")  # tested, but no pleasure to look at
        ]
        columns, cell = COLUMNS, CELL
        shown = [
            (
                pictures[(3 * n + n // columns) % len(pictures)],
                lang,
                said,
                STYLES[(n + n // columns) % len(STYLES)],
            )
            for n, (_, lang, said) in enumerate(plates.ALL)
        ]
    rows = -(-len(shown) // columns)
    size = (columns * (cell[0] + GAP) + GAP, rows * (cell[1] + GAP) + GAP)
    whole = Image.new("RGB", size, (246, 243, 238))
    for n, (picture, lang, said, style) in enumerate(shown):
        for line in text.clean(said).split("\n"):
            for cluster, face in faces.choose(line, "headline", lang):
                bare = cluster.replace("\u200d", "").replace("\ufe0f", "")
                assert all(fonts.covers(face, char) for char in bare), (said, cluster)
        shape = (4, 3) if style != "subtitle" else (16, 9)
        width = 960
        cut = paint.cropped(picture, width, width * shape[1] // shape[0])
        drawn = meme.draw(cut, said, style, lang)
        drawn.thumbnail(cell, Image.Resampling.LANCZOS)
        x = GAP + n % columns * (cell[0] + GAP) + (cell[0] - drawn.width) // 2
        y = GAP + n // columns * (cell[1] + GAP) + (cell[1] - drawn.height) // 2
        whole.paste(drawn, (x, y))
    file.parent.mkdir(parents=True, exist_ok=True)
    for quality in range(85, 20, -3):
        out = io.BytesIO()
        whole.save(out, "JPEG", quality=quality, optimize=True, progressive=True)
        if out.tell() <= 250_000:
            break
    file.write_bytes(out.getvalue())
    Console(highlight=False).print(f"{file}: {whole.size}, {out.tell():,} bytes, {quality=}")


if __name__ == "__main__":
    main()
