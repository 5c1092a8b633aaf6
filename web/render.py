"""A job as the two messages of a chat: what was asked, and what is (or will be) answered.

Everything that people or models wrote is escaped here; Gradio sanitizes once more, and the page's
Content-Security-Policy lets no picture or script in from elsewhere.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from foodcritic import critique
from foodcritic.columns import JobKind, JobStatus
from foodcritic.critique import Candidate
from foodcritic.jobs import Job, Position
from web.texts import TEXTS, Texts

Message = dict[str, Any]

#: By this page.js knows a whole answer, which can be corrected.
WHOLE: Final = '<div class="fc-whole"></div>'

_STARTED: Final = Position(ahead=0, seconds=0.0)
# A picture in Markdown would be fetched: it stays text.
_PICTURE: Final = re.compile(r"!(?=\[)")
# How an engine that sees one photo at a time heads its answer about each (`engine.albums`).
_NEXT_PHOTO: Final = re.compile(r"\n*📷 (\d+)/\d+\n+")


def messages(job: Job, texts: Texts, position: Position | None = None) -> list[Message]:
    """One user message and one assistant message."""
    return [
        {"role": "user", "content": asked(job, texts)},
        {"role": "assistant", "content": answered(job, texts, position or _STARTED)},
    ]


def asked(job: Job, texts: Texts) -> str:
    """The question with its photos, as HTML without blank lines (Markdown leaves that alone)."""
    parts = []
    if job.photos:
        shown = "".join(
            f'<img src="../photo/{photo.sha256}.jpg" alt="{texts.photo_of}" loading="lazy"'
            f' width="{photo.width}" height="{photo.height}">'
            for photo in job.photos
        )
        parts.append(f'<div class="fc-photos fc-photos-{min(len(job.photos), 4)}">{shown}</div>')
    if job.question:
        lines = [html.escape(line) for line in job.question.splitlines() if line.strip()]
        parts.append(f'<div class="fc-asked">{"<br>".join(lines)}</div>')
    return "".join(parts)


def answered(job: Job, texts: Texts, position: Position) -> str:
    """The answer so far, or what there is instead of one."""
    if job.status == JobStatus.TODO:
        return _waiting(texts.place(position))
    if job.status == JobStatus.DOING:
        return _growing(job.draft) if job.draft else _waiting(texts.looking)
    if job.status == JobStatus.FAILED:
        return f'<div class="fc-note">{texts.apology(job.error)}</div>'
    if job.status == JobStatus.CANCELLED:
        said = _text(job.answer or job.draft or "")
        return f'{said}\n\n<div class="fc-note">{texts.stopped}</div>'.strip()
    return _critique(job, texts)


def _waiting(text: str) -> str:
    return f'<div class="fc-waiting">{html.escape(text)}<i></i><i></i><i></i></div>'


def _growing(draft: str) -> str:
    """What is written so far, and a caret where more will follow."""
    return f'{_text(draft)}<span class="fc-growing"></span>'


def _text(text: str) -> str:
    """Markdown of a model: no HTML, no pictures."""
    return _PICTURE.sub("!\u200b", html.escape(text, quote=False).replace("&gt;", ">"))


def _critique(job: Job, texts: Texts) -> str:
    # The answer's own language, whatever the page speaks now.
    spoken = TEXTS["zh" if job.lang == "zh" else "en"]
    judged = job.critique or {}
    candidates = [_candidate(found) for found in judged.get("candidates") or ()]
    first, *others = _NEXT_PHOTO.split(job.answer or "")
    parts = [_about_one(first, candidates, job.kind, spoken)]
    doubt = _doubt(candidates, spoken) if judged.get("unsure") and len(candidates) > 1 else ""
    if others[:1] != ["1"]:
        parts.append(doubt)
    for number, other in zip(others[::2], others[1::2], strict=True):
        parts.append(
            f'<div class="fc-photo-number">{texts.photo_number.format(number=number)}</div>'
        )
        parts.append(_about_one(other, (), job.kind, spoken))
        if number == "1":
            parts.append(doubt)
    return "\n\n".join([*filter(None, parts), WHOLE])


def _about_one(text: str, candidates: Sequence[Candidate], kind: JobKind, texts: Texts) -> str:
    """What was said about one photo."""
    read = critique.parse(text, candidates)
    if kind != JobKind.CRITIQUE or not (read.dish_zh or read.dish_en):
        return _text(text)
    body = read.body
    return f"{_card(read, texts)}\n\n{_text(body)}" if body != text.strip() else _text(text)


def _card(read: critique.Critique, texts: Texts) -> str:
    """The first line of a critique as a masthead: names, cuisine and the score as a seal."""
    main, other = Candidate(name_zh=read.dish_zh, name_en=read.dish_en).names(texts.lang)
    under = " · ".join(html.escape(part) for part in (other, read.cuisine) if part)
    seal = ""
    if read.score is not None:
        seal = (
            f'<div class="fc-seal" role="img" aria-label="{texts.score.format(score=read.score)}">'
            f"<b>{read.score}</b><small>/10</small></div>"
        )
    unsure = " ?" if read.unsure else ""
    return (
        f'<div class="fc-card"><div class="fc-names"><div class="fc-dish">{html.escape(main)}'
        f'{unsure}</div><div class="fc-under">{under}</div></div>{seal}</div>'
    )


def _doubt(candidates: list[Candidate], texts: Texts) -> str:
    """The candidates, with their probabilities as bars."""
    rows = []
    for found in candidates:
        main, other = found.names(texts.lang)
        named = html.escape(main) + (f" <small>{html.escape(other)}</small>" if other else "")
        share = found.probability
        percent = "" if share is None else f"{share * 100:.0f}%"
        width = 0 if share is None else min(max(round(share * 100), 2), 100)
        rows.append(
            f'<div class="fc-candidate"><span>{named}</span>'
            f'<span class="fc-bar"><i style="width:{width}%"></i></span><b>{percent}</b></div>'
        )
    return f'<div class="fc-doubt"><div>{texts.unsure}</div>{"".join(rows)}</div>'


def _candidate(found: Mapping[str, Any]) -> Candidate:
    return Candidate(
        name_zh=found.get("name_zh"),
        name_en=found.get("name_en"),
        probability=found.get("probability"),
    )
