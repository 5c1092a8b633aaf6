"""May what a visitor sends train the model? A card that asks, once.

As in Telegram: after their first correction, or rating of an answer to a photo of theirs; who does
not answer is not asked again. The answer can be changed at ``/privacy`` (`web.rights`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog

from foodcritic import privacy, queue
from foodcritic.db import Database
from foodcritic.privacy import Withdraw
from web import fragments
from web.blocks import gr
from web.events import QUICK, visitor_of
from web.texts import Texts
from web.transcript import CHANNEL, Visitor

log = structlog.get_logger(__name__)


def build(db: Database, texts: Texts, withdraw: Withdraw) -> gr.Column:
    """Add the card, hidden, to the blocks under construction."""
    with gr.Column(visible=False, elem_id="fc-consent") as card:
        gr.HTML(fragments.consent(texts), padding=False)
        with gr.Row():
            agree = gr.Button(texts.consent_agree, variant="primary", min_width=0, size="sm")
            refuse = gr.Button(texts.consent_refuse, min_width=0, size="sm")

    def answer(agrees: bool) -> Callable[..., Awaitable[Any]]:
        async def on_answer(request: gr.Request) -> Any:
            if (visitor := visitor_of(request)) is not None:
                await privacy.decide(db, CHANNEL, visitor.id, agrees, withdraw=withdraw)
                log.info("web.consent", agrees=agrees)
                gr.Info(texts.consent_yes if agrees else texts.consent_no, duration=6)
            return gr.Column(visible=False)

        return on_answer

    agree.click(answer(True), None, [card], **QUICK)
    refuse.click(answer(False), None, [card], **QUICK)
    return cast(gr.Column, card)


async def ask_once(db: Database, visitor: Visitor, job_id: int) -> Any:
    """The card, shown, if this rating is the first of an answer to a photo; else nothing new."""
    job = await queue.get(db, job_id)
    return await ask(db, visitor) if job.photos else gr.skip()


async def ask(db: Database, visitor: Visitor) -> Any:
    """The card, shown, to who was not asked before; else nothing new."""
    if not await privacy.is_due(db, CHANNEL, visitor.id):
        return gr.skip()
    await privacy.asked(db, CHANNEL, visitor.id)
    return gr.Column(visible=True)
