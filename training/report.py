"""The report of a run: why it was promoted or not, and both models' answers about the same photos.

    report.html   everything, in one file: verdict, figures, loss curve, answers side by side
    report.png    the answers as one picture to show: 微调前 before, 微调后 after
    curve.png     the loss

Photos are of the held-out side: neither model has learnt from them.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment
from PIL import Image, ImageDraw

from foodcritic import critique, dishes
from foodcritic.dishes import Lang
from foodcritic.drawing import curve as curves
from foodcritic.drawing import layout, paint
from foodcritic.drawing import text as texts
from foodcritic.drawing.card import FAINT, INK, PAPER, SOFT
from foodcritic.drawing.fonts import Voice
from foodcritic.errors import CaptionError
from foodcritic.runs import Run, Step
from training import withdrawn
from training.evaluate import Exam, Result
from training.gate import Verdict

#: What `write` writes, and the file beside it that names the run's dataset.
FILES: Final = withdrawn.REPORT
DATASET: Final = withdrawn.DATASET
#: Photos on the poster, and its measures in pixels.
ROWS: Final = 5
WIDE, TALL, PHOTO, GAP = 1500, 330, 290, 36
RIGHT, WRONG = (74, 133, 80), (148, 58, 48)
#: What stands for the name where an answer neither gives one nor says that it sees no dish.
UNNAMED: Final[dict[Lang, str]] = {"zh": "没有说出菜名", "en": "It names no dish"}
#: Clusters of an answer that fit beside a photo.
EXCERPT: Final = 118


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One model's answer about a photo."""

    text: str
    named: str
    #: None: nobody said what is right.
    right: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Both answers about one photo."""

    photo: Path
    #: What people say it is; '' where they only gave a better text.
    dish: str
    before: Side
    after: Side


def write(
    folder: Path,
    run: Run,
    exam: Exam,
    live: Result,
    candidate: Result,
    verdict: Verdict,
    steps: Sequence[Step],
) -> None:
    """Write the three files."""
    found = rows(exam, live, candidate)
    total = steps[-1].metrics.get("iterations") if steps else None
    png = curves.draw([(step.step, step.loss) for step in steps], total, f"run {run.id} · loss")
    (folder / "curve.png").write_bytes(png)
    poster(found, run, live, candidate, verdict).save(folder / "report.png")
    page = _PAGE.render(
        run=run,
        live=live,
        candidate=candidate,
        verdict=verdict,
        rows=found,
        curve=_embedded(png, "png"),
        photo=lambda row: _embedded(_small(row.photo), "jpeg"),
        percent=lambda value: "" if value is None else f"{value:.1%}",
    )
    (folder / "report.html").write_text(page, encoding="utf-8")


def rows(exam: Exam, live: Result, candidate: Result) -> list[Row]:
    """The answers that were kept, those first whose dish changed."""
    dishes_of = {
        Path(record["image"]).name: record["dish"]
        for record in exam.corrections
        if record.get("image") and record.get("dish")
    }
    found = [
        Row(
            photo=path,
            dish=_shown(dishes_of.get(path.name, ""), exam.lang),
            before=_side(live.shown[path.name], dishes_of.get(path.name), exam.lang),
            after=_side(candidate.shown[path.name], dishes_of.get(path.name), exam.lang),
        )
        for path in exam.shown
        if path.name in live.shown and path.name in candidate.shown
    ]
    return sorted(found, key=lambda row: row.before.named == row.after.named)


def poster(
    found: Sequence[Row], run: Run, live: Result, candidate: Result, verdict: Verdict
) -> Image.Image:
    """Before and after on the same photos, `WIDE` pixels wide."""
    some = found[:ROWS]
    image = Image.new("RGB", (WIDE, 250 + len(some) * (TALL + GAP) + 90), PAPER)
    columns = PHOTO + 2 * GAP, PHOTO + 2 * GAP + (WIDE - PHOTO - 3 * GAP) // 2
    width = (WIDE - PHOTO - 3 * GAP) // 2 - GAP
    score = verdict.reasons[0]
    if score.live is not None and score.candidate is not None:
        told = f"{score.live:.0%} → {score.candidate:.0%}"
        _put(image, told, "bold", GAP, 40, WIDE // 2, 92)
        about = f"of {score.n} photos it never saw, named right"
        _put(image, about, "text", GAP, 148, WIDE // 2, 34, SOFT)
    said = "promoted" if verdict.passed else "rejected"
    shade = RIGHT if verdict.passed else WRONG
    _put(image, f"run {run.id}: {said}", "bold", columns[1], 40, width, 52, shade)
    _put(image, verdict.summary, "text", columns[1], 110, width, 26, SOFT, 90)
    heads = (("微调前 · before", live.model, SOFT), ("微调后 · after", candidate.model, INK))
    for x, (title, model, ink) in zip(columns, heads, strict=True):
        _put(image, f"{title} · {model}", "bold", x, 206, width, 30, ink)
    for number, row in enumerate(some):
        y = 262 + number * (TALL + GAP)
        ImageDraw.Draw(image).line((GAP, y - 12, WIDE - GAP, y - 12), fill=FAINT, width=2)
        with Image.open(row.photo) as photo:
            image.paste(paint.cropped(photo.convert("RGB"), PHOTO, PHOTO), (GAP, y + 8))
        if row.dish:
            _put(image, row.dish, "text", GAP, y + PHOTO + 16, PHOTO, 26, SOFT)
        for x, side in zip(columns, (row.before, row.after), strict=True):
            ink = INK if side.right is None else RIGHT if side.right else WRONG
            beside = 0 if side.right is None else _mark(image, x, y + 14, right=side.right)
            below = _put(image, side.named, "bold", x + beside, y + 10, width - beside, 42, ink)
            _put(image, _excerpt(side.text), "text", x, below + 22, width, 30, INK, TALL - 100)
    _put(image, "foodcritic", "bold", GAP, image.height - 62, 300, 28)
    note = "held-out photos; both models answered greedily"
    _put(image, note, "text", GAP + 210, image.height - 60, WIDE // 2, 26, SOFT)
    return image


def _mark(image: Image.Image, x: float, y: float, *, right: bool) -> int:
    """A tick or a cross, drawn: not every font has them. How much room it takes, in pixels."""
    pen = ImageDraw.Draw(image)
    strokes = [[(0, 18), (12, 30), (34, 2)]] if right else [[(2, 2), (30, 30)], [(30, 2), (2, 30)]]
    for points in strokes:
        at = [(x + dx, y + dy) for dx, dy in points]
        pen.line(at, fill=RIGHT if right else WRONG, width=7, joint="curve")
    return 52


def _side(answer: str, dish: str | None, lang: Lang) -> Side:
    read = critique.parse(answer)
    names = (read.dish_zh, read.dish_en) if lang == "zh" else (read.dish_en, read.dish_zh)
    refused = any(words.strip("*") in answer for words in critique.NO_DISH.values())
    none = critique.NO_DISH[lang].strip("*") if refused else UNNAMED[lang]
    named = names[0] or names[1] or none
    right = None
    if dish:
        right = any(_key(name) == _key(dish) for name in names if name)
    return Side(text=answer, named=f"{named}?" if read.unsure else named, right=right)


def _key(name: str) -> str:
    known = dishes.find(name)
    return known.key if known else " ".join(name.casefold().split())


def _shown(dish: str, lang: Lang) -> str:
    known = dishes.find(dish) if dish else None
    if known is None:
        return dish
    return known.name_zh if lang == "zh" else known.name_en


def _excerpt(answer: str) -> str:
    """The first sentences of an answer, without its first line and its markup."""
    body = critique.parse(answer).body
    plain = " ".join(re.sub(r"[*_`#>]+", "", body).split())
    clusters = texts.clusters(plain)
    return plain if len(clusters) <= EXCERPT else "".join(clusters[:EXCERPT]).rstrip() + "…"


def _put(
    image: Image.Image,
    content: str,
    voice: Voice,
    x: float,
    y: float,
    width: float,
    largest: int,
    fill: tuple[int, int, int] = INK,
    height: float | None = None,
) -> float:
    """Draw a text as large as it fits; where it ends."""
    try:
        cleaned = " ".join(texts.clean(content).split())
        block = layout.fit(
            cleaned,
            voice,
            "zh" if re.search(r"[\u4e00-\u9fff]", cleaned) else "en",
            width,
            height or largest * 1.6,
            largest=largest,
            smallest=16,
            leading=1.34,
        )
    except CaptionError:  # a model may say anything: what cannot be drawn is in the page
        return y + largest
    if block is None:
        return y + largest
    paint.block(image, block, x, y, fill=fill, align="left")
    return y + block.height


def _small(photo: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(photo) as image:
        paint.cropped(image.convert("RGB"), 320, 320).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _embedded(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _lines(answer: str) -> str:
    return re.sub(r"\*\*|__", "", answer).strip()


_ENVIRONMENT: Final = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_FILTERS: Final[Mapping[str, Any]] = {"plain": _lines}
_ENVIRONMENT.filters.update(_FILTERS)
_PAGE: Final = _ENVIRONMENT.from_string("""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>foodcritic · run {{ run.id }}</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; color: #261e19; background: #fdf9f2;
        max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
 h1 { margin-bottom: 0 } .soft { color: #84776c } .yes { color: #4a8550 } .no { color: #943a30 }
 table { border-collapse: collapse; width: 100% }
 td, th { text-align: left; vertical-align: top; padding: .5rem; border-top: 1px solid #e8dfd3;
        overflow-wrap: anywhere }
 .answers td { width: 40% } .answers td:first-child { width: 20% }
 .answers img { width: 100%; border-radius: 6px } pre { white-space: pre-wrap; font: inherit;
 margin: 0 } img.curve { max-width: 100% }
</style>
<h1 class="{{ 'yes' if verdict.passed else 'no' }}">{{ 'Promoted' if verdict.passed else
 'Rejected' }}: {{ candidate.model }}</h1>
<p class="soft">run {{ run.id }} · recipe {{ run.recipe }} · from {{ run.base }} · dataset
 {{ (run.dataset or '')[:12] }} · asked for by {{ run.actor }}</p>
<table><tr><th>part</th><th>n</th><th>{{ live.model }}</th><th>{{ candidate.model }}</th>
<th>verdict</th></tr>
{% for reason in verdict.reasons %}
<tr><td>{{ reason.part }}</td><td>{{ reason.n or '' }}</td><td>{{ percent(reason.live) }}</td>
<td>{{ percent(reason.candidate) }}</td>
<td class="{{ 'soft' if not reason.judged else 'yes' if reason.ok else 'no' }}">
{{ reason.text }}</td></tr>
{% endfor %}
</table>
<h2>The same photos, before and after</h2>
<p class="soft">Held out: neither model has learnt from them. Both answered greedily.</p>
<table class="answers"><tr><th></th><th>微调前 · before · {{ live.model }}</th>
<th>微调后 · after · {{ candidate.model }}</th></tr>
{% for row in rows %}
<tr><td><img src="{{ photo(row) }}" alt="">{{ row.dish }}</td>
{% for side in (row.before, row.after) %}
<td><pre{% if side.right is not none %} class="{{ 'yes' if side.right else 'no' }}"{% endif
%}>{{ side.text | plain }}</pre></td>
{% endfor %}
</tr>
{% endfor %}
</table>
<h2>Loss</h2><img class="curve" src="{{ curve }}" alt="loss curve">
</html>
""")
