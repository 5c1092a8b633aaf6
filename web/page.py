"""The page in one language, as Gradio blocks, and what its events do.

    masthead ─ title, language, light or dark
    critique: chat (transcript, box, four questions) │ samples by cuisine, sampling, a caution
    memes:    `web.memes`
    consent, corrections: `web.consent`, `web.correcting`, cards over both

Every event ends in `show`, which streams the conversation from the database: what the browser says
about it is never believed. Who is asking comes from the signed session (`web.guard`).
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import structlog

from foodcritic import photos
from foodcritic.db import Database
from foodcritic.privacy import Withdraw
from web import consent, correcting, fragments, memes, render, sources, talk, transcript
from web.blocks import gr
from web.events import QUICK, Twice, admitted, job_at, plainly, visitor_of
from web.samples import Sample
from web.talk import View
from web.texts import TEXTS, Lang, Texts

log = structlog.get_logger(__name__)

STATIC: Final = Path(__file__).parent / "static"
#: Seconds between sweeps of uploads nobody asked about, and their age then.
SWEEP: Final = (300, 1800)

# Gradio's own names of the two thumbs.
LIKE, DISLIKE = "Like", "Dislike"


def build(
    db: Database,
    lang: Lang,
    shown: Mapping[str, Sample],
    withdraw: Withdraw,
    asks: sources.Asks,
) -> gr.Blocks:
    """The blocks of the page in `lang`, to be mounted at ``/<lang>``."""
    texts = TEXTS[lang]
    settings, twice = db.settings, Twice()
    with gr.Blocks(
        title=texts.title, analytics_enabled=False, delete_cache=SWEEP, fill_width=True
    ) as blocks:
        gr.HTML(
            fragments.masthead(texts, with_exit=settings.web_password is not None), padding=False
        )
        question = consent.build(db, texts, withdraw)
        # The jobs this tab shows, by their places in its chat: another tab may have gone on.
        seen = gr.State(())
        correcting.build(db, texts, question, seen, withdraw)
        with gr.Tabs(elem_id="fc-tabs"):
            with gr.Tab(texts.tab_talk), gr.Row(elem_id="fc-table", equal_height=False):
                with gr.Column(scale=7, min_width=320, elem_id="fc-talk"):
                    chat = gr.Chatbot(
                        elem_id="fc-chat",
                        label=texts.chat,
                        show_label=False,
                        container=False,
                        height=None,
                        buttons=["copy"],
                        layout="bubble",
                        latex_delimiters=[],
                        placeholder=fragments.invitation(texts.invite_title, texts.invite),
                        feedback_options=(LIKE, DISLIKE),
                        group_consecutive_messages=False,
                        allow_tags=False,
                    )
                    box = gr.MultimodalTextbox(
                        elem_id="fc-box",
                        show_label=False,
                        label=texts.box,
                        container=False,
                        placeholder=texts.box,
                        file_count="multiple",
                        file_types=["image", *sorted(set(photos.FORMATS.values()))],
                        max_plain_text_length=100_000,  # a longer text would become a file
                        max_lines=6,
                    )
                    with gr.Row(elem_id="fc-suggestions"):
                        questions = [
                            gr.Button(text, size="sm", min_width=0, elem_classes="fc-chip")
                            for text in texts.questions
                        ]
                    # Pressed by the one in the masthead, which no Gradio component can be part of.
                    clear = gr.Button(texts.new, elem_id="fc-clear")
                    # Pressed by page.js when another tab has gone on.
                    again = gr.Button("", elem_id="fc-look")
                with gr.Column(scale=4, min_width=280, elem_id="fc-side"):
                    gallery = gr.HTML(
                        fragments.gallery(texts, shown),
                        elem_id="fc-gallery",
                        padding=False,
                        visible=bool(shown),
                        js_on_load=(STATIC / "gallery.js").read_text(encoding="utf-8"),
                    )
                    with gr.Accordion(texts.sampling, open=False, elem_id="fc-sampling"):
                        top_p = gr.Slider(
                            0, 1, settings.top_p, step=0.05, label=texts.top_p, elem_id="fc-top-p"
                        )
                        temperature = gr.Slider(
                            *(0, 1.5, min(settings.temperature, 1.5)),
                            step=0.05,
                            label=texts.temperature,
                            info=texts.sampling_hint,
                            elem_id="fc-temperature",
                        )
                    gr.HTML(fragments.caution(texts), padding=False)
            with gr.Tab(texts.tab_memes):
                memes.build(db, lang, texts, question, asks)

        drawn = [top_p, temperature]

        async def show(request: gr.Request) -> AsyncIterator[Any]:
            visitor = visitor_of(request)
            if visitor is None:
                yield _note(texts.no_session), gr.skip(), ()
                return
            async for view in talk.watch(db, visitor):
                yield *_components(view, texts), tuple(job.id for job in view.turns)

        async def ask(
            request: gr.Request,
            question: str,
            sampled: Mapping[str, float],
            pictures: list[bytes],
        ) -> None:
            visitor = visitor_of(request)
            if visitor is not None:
                await plainly(db, texts, admitted(db, asks, request))
                await plainly(
                    db,
                    texts,
                    talk.ask(
                        db,
                        visitor,
                        lang=lang,
                        question=question,
                        pictures=pictures,
                        sampling=sampled,
                    ),
                )

        async def on_box(
            request: gr.Request, asked: dict[str, Any], top_p: Any, temperature: Any
        ) -> Any:
            files = [Path(str(file)) for file in asked.get("files") or ()][: talk.MOST_PHOTOS + 1]
            text, visitor = str(asked.get("text") or ""), visitor_of(request)
            if twice(visitor, (text, *files)):
                return gr.skip()
            said = bool(files or text.strip())
            if not said and visitor is not None and await transcript.turns(db, visitor):
                return gr.skip()  # Enter once more, in a box that is empty again
            pictures = [await plainly(db, texts, _read(file)) for file in files]
            await ask(request, text, _sampled(top_p, temperature), pictures)
            # What was refused stays in the box; what was asked is kept by content now.
            await asyncio.to_thread(_remove, files)
            return gr.MultimodalTextbox(value=None)

        async def on_sample(
            request: gr.Request, event: gr.EventData, top_p: Any, temperature: Any
        ) -> None:
            sample = shown.get(str((event._data or {}).get("sample")))
            if sample is not None:
                picture = await asyncio.to_thread(sample.path.read_bytes)
                await ask(request, "", _sampled(top_p, temperature), [picture])

        async def on_stop(request: gr.Request) -> None:
            if (visitor := visitor_of(request)) is not None:
                await talk.stop(db, visitor)

        async def on_clear(request: gr.Request) -> None:
            if (visitor := visitor_of(request)) is not None:
                await transcript.start_over(db, visitor)

        async def on_retry(
            request: gr.Request, event: gr.RetryData, seen: Any, top_p: Any, temperature: Any
        ) -> None:
            visitor, job_id = visitor_of(request), _job_at(seen, event.index)
            if visitor is None or job_id is None:
                return
            # Of a conversation that another tab has ended, the answer would be shown nowhere.
            if job_id in [job.id for job in await transcript.turns(db, visitor)]:
                sampled = _sampled(top_p, temperature)
                await plainly(db, texts, admitted(db, asks, request))
                await plainly(db, texts, talk.again(db, visitor, job_id, sampled))

        async def on_rate(request: gr.Request, event: gr.LikeData, seen: Any) -> Any:
            visitor = visitor_of(request)
            job_id, rating = _job_at(seen, event.index), _rating(event.liked)
            if visitor is None or job_id is None:
                return gr.skip()
            stored = await talk.rate(db, visitor, job_id, rating)
            return await consent.ask_once(db, visitor, job_id) if stored and rating else gr.skip()

        def question_of(text: str) -> Callable[..., Awaitable[None]]:
            async def on_question(request: gr.Request, top_p: Any, temperature: Any) -> None:
                await ask(request, text, _sampled(top_p, temperature), [])

            return on_question

        # Gradio's browser side drops an event whose like has not quite ended: the last moment of
        # one answer's stream must not swallow the next one's, nor one thumb the other's.
        every: dict[str, Any] = {**QUICK, "trigger_mode": "multiple"}

        def then_show(event: Any) -> None:
            event.success(show, None, [chat, box, seen], **every)

        then_show(box.submit(on_box, [box, *drawn], [box], **QUICK))
        then_show(gallery.click(on_sample, drawn, None, **QUICK))
        then_show(chat.retry(on_retry, [seen, *drawn], None, **QUICK))
        then_show(clear.click(on_clear, None, None, **QUICK))
        for button, text in zip(questions, texts.questions, strict=True):
            then_show(button.click(question_of(text), drawn, None, **QUICK))
        box.stop(on_stop, None, None, **QUICK)
        # One at a time: of two thumbs, the later is the one that counts.
        chat.like(on_rate, [seen], [question], **{**every, "concurrency_limit": 1})
        blocks.load(show, None, [chat, box, seen], **QUICK)
        again.click(show, None, [chat, box, seen], **{**QUICK, "trigger_mode": "always_last"})
        # Not `queue`, which only makes an application anew; each event says how many of it may run.
        blocks.api_open = False
    return cast(gr.Blocks, blocks)


def _job_at(seen: Any, index: Any) -> int | None:
    """The job of a message's place in the chat: two messages a job."""
    place = index[0] if isinstance(index, list | tuple) and index else index
    return job_at(seen, place // 2) if isinstance(place, int) else None


def _components(view: View, texts: Texts) -> tuple[Any, Any]:
    """The chat and the box for a view."""
    said = [
        message
        for job in view.turns
        for message in render.messages(job, texts, view.places.get(job.id))
    ]
    rated = [{1: LIKE, -1: DISLIKE}.get(view.ratings.get(job.id, 0)) for job in view.turns]
    box = gr.MultimodalTextbox(stop_btn=view.is_busy, submit_btn=not view.is_busy)
    return gr.update(value=said, feedback_value=rated), box


def _note(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": html.escape(text)}]


def _rating(liked: object) -> Any:
    if liked in (True, LIKE):
        return 1
    return -1 if liked in (False, DISLIKE) else None


def _sampled(top_p: Any, temperature: Any) -> dict[str, float]:
    return talk.sampling({"top_p": top_p, "temperature": temperature})


async def _read(file: Path) -> bytes:
    return await asyncio.to_thread(photos.read, file)


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
