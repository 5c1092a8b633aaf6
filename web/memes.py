"""The meme tab: a photo and a style in, three captions and a picture out.

Captions, styles and the switch for the words redraw at once; only new captions ask the model.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from PIL import Image

from foodcritic import feedback, memes, photos
from foodcritic.db import Database
from foodcritic.errors import CaptionError
from foodcritic.jobs import Job
from foodcritic.memes import Variant
from foodcritic.prompts import MEME_STYLES, MemeStyle
from web import consent, easel, fragments, sources, talk
from web.blocks import gr
from web.events import QUICK, admitted, plainly, visitor_of
from web.texts import Lang, Texts


def build(db: Database, lang: Lang, texts: Texts, question: gr.Column, asks: sources.Asks) -> None:
    """Add the tab's components and events to the blocks under construction.

    A first rating shows `question` (`web.consent`).
    """
    # What was drawn last: the job, and its captions, best first. Kept by the server, not the page.
    drawn = gr.State(None)
    with gr.Row(elem_id="fc-easel", equal_height=False):
        with gr.Column(scale=4, min_width=280):
            photo = gr.Image(
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard"],
                label=texts.meme_photo,
                height=300,
                elem_id="fc-meme-photo",
            )
            style = gr.Radio(
                [(texts.style(name), name) for name in MEME_STYLES],
                value=memes.STYLE,
                label=texts.meme_style,
                elem_id="fc-meme-style",
            )
            make = gr.Button(texts.meme_make, variant="primary", elem_id="fc-meme-make")
            card = gr.Button(texts.meme_card, elem_id="fc-meme-card")
        with gr.Column(scale=7, min_width=320):
            gr.HTML(  # in the picture's place until there is one
                fragments.invitation(texts.meme_invite_title, texts.meme_invite),
                elem_id="fc-meme-invite",
                padding=False,
            )
            result = gr.Image(
                label=texts.meme_result,
                show_label=False,  # it would lie over the caption
                interactive=False,
                format="jpeg",
                height=520,
                buttons=["download", "fullscreen"],
                elem_id="fc-meme-result",
            )
            captions = gr.Radio(
                [], label=texts.meme_captions, visible=False, elem_id="fc-meme-captions"
            )
            words = gr.Checkbox(
                True, label=texts.meme_words, visible=False, elem_id="fc-meme-words"
            )
            with gr.Row(visible=False, elem_id="fc-meme-thumbs") as thumbs:
                like = gr.Button(f"👍 {texts.meme_like}", min_width=0, elem_classes="fc-chip")
                dislike = gr.Button(f"👎 {texts.meme_dislike}", min_width=0, elem_classes="fc-chip")

    async def on_make(request: gr.Request, path: str | None, chosen: Any) -> AsyncIterator[Any]:
        waiting = gr.Button(texts.meme_busy, interactive=False)
        nothing = (gr.skip(),) * 7
        yield *nothing, waiting
        ready = gr.Button(texts.meme_make, interactive=True)
        try:
            job, variant, data = await _made(request, path, _style(chosen))
        except gr.Error as error:  # raised, it would leave the button as it is
            gr.Warning(error.message, duration=8)
            yield *nothing, ready
            return
        choices = [(caption, number) for number, caption in enumerate(memes.written(job))]
        found = gr.Radio(choices=choices, value=variant.caption, visible=True)
        thumbed = (gr.Row(visible=True), *_thumbs(0))
        yield _picture(data), found, gr.Checkbox(True, visible=True), job.id, *thumbed, ready

    async def _made(
        request: gr.Request, path: str | None, chosen: MemeStyle
    ) -> tuple[Job, Variant, bytes]:
        visitor = visitor_of(request)
        if visitor is None:
            raise gr.Error(texts.no_session, print_exception=False)
        if not path:
            raise gr.Error(texts.meme_first, print_exception=False)
        await plainly(db, texts, admitted(db, asks, request))
        picture = await plainly(db, texts, asyncio.to_thread(photos.read, Path(path)))
        asked = easel.ask(db, visitor, lang=lang, picture=picture, style=chosen)
        job = await easel.written(db, (await plainly(db, texts, asked)).id)
        return job, *await plainly(db, texts, easel.first(job))

    async def on_change(
        request: gr.Request, job_id: Any, caption: Any, chosen: Any, with_text: Any
    ) -> Any:
        visitor = visitor_of(request)
        if visitor is None or not isinstance(job_id, int) or not isinstance(caption, int):
            return gr.skip()
        variant = Variant(caption=caption, style=_style(chosen), with_text=bool(with_text))
        try:
            redrawn = easel.redraw(db, visitor, job_id, variant)
            return _picture(await plainly(db, texts, redrawn))
        except CaptionError:
            raise gr.Error(texts.meme_too_long, print_exception=False, duration=8) from None

    async def on_card(request: gr.Request) -> Any:
        visitor = visitor_of(request)
        if visitor is None:
            raise gr.Error(texts.no_session, print_exception=False)
        data = await plainly(db, texts, easel.card(db, visitor))
        hidden = gr.update(visible=False)
        return _picture(data), hidden, hidden, None, hidden, *_thumbs(0)

    def rates(rating: feedback.Rating) -> Callable[..., Awaitable[Any]]:
        async def on_rate(request: gr.Request, job_id: Any) -> Any:
            visitor = visitor_of(request)
            if visitor is None or not isinstance(job_id, int):
                return gr.skip(), gr.skip(), gr.skip()
            now = await talk.toggle(db, visitor, job_id, rating)
            asked = await consent.ask_once(db, visitor, job_id) if now else gr.skip()
            return *_thumbs(now), asked

        return on_rate

    everything = [result, captions, words, drawn, thumbs, like, dislike]
    make.click(on_make, [photo, style], [*everything, make], **QUICK)
    card.click(on_card, None, everything, **QUICK)
    for part in (captions, style, words):
        part.input(on_change, [drawn, captions, style, words], [result], **QUICK)
    like.click(rates(1), [drawn], [like, dislike, question], **QUICK)
    dislike.click(rates(-1), [drawn], [like, dislike, question], **QUICK)


def _style(value: Any) -> MemeStyle:
    return value if value in MEME_STYLES else memes.STYLE


def _thumbs(rating: int) -> tuple[gr.Button, gr.Button]:
    """The two thumbs, the one that was given filled."""
    like, dislike = (
        gr.Button(variant="primary" if rating == mine else "secondary") for mine in (1, -1)
    )
    return like, dislike


def _picture(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")
