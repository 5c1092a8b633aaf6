"""✏️ under an answer: a card that asks what it should have been, as the bot does (`bot.correcting`).

```
 ✏️ (page.js) ─▶ its place in the chat ─▶ card: a dish it also thought of, or none | another | a text
                                          send ─▶ pending, until an administrator has read it
                                          ✏️ again ─▶ what was said: change it, or take it back
```

Nothing a browser names is believed: the answer must be the visitor's own, and finished.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Final

import structlog

from foodcritic import corrections, prompts
from foodcritic.db import Database
from foodcritic.privacy import Withdraw
from web import consent, talk
from web.blocks import gr
from web.events import QUICK, job_at, plainly, visitor_of
from web.texts import Texts
from web.transcript import CHANNEL

log = structlog.get_logger(__name__)

STATIC: Final = Path(__file__).parent / "static"
#: Among the numbers of the candidates: there is no dish.
NONE: Final = -1


def build(
    db: Database, texts: Texts, question: gr.Column, seen: gr.State, withdraw: Withdraw
) -> None:
    """Add the card, hidden, to the blocks under construction.

    `question` asks for consent; `seen` holds the ids of the jobs that are shown, in their order.
    """
    # Heard by page.js's buttons, which no Gradio component can be part of.
    bell = gr.HTML(
        "",
        elem_id="fc-fix-bell",
        js_on_load=(STATIC / "fix.js").read_text(encoding="utf-8"),
    )
    about = gr.State(None)
    with gr.Column(visible=False, elem_id="fc-fix") as card:
        gr.HTML(f"<h2>✏️ {texts.fix_title}</h2>", padding=False)
        pick = gr.Radio([], label=texts.fix_dish, elem_id="fc-fix-pick")
        dish = gr.Textbox(
            label=texts.fix_other, max_length=corrections.LONGEST_DISH, elem_id="fc-fix-dish"
        )
        text = gr.Textbox(
            label=texts.fix_text,
            max_length=corrections.LONGEST_TEXT,
            lines=2,
            max_lines=8,
            elem_id="fc-fix-text",
        )
        with gr.Row():
            send = gr.Button(texts.fix_send, variant="primary", min_width=0, size="sm")
            undo = gr.Button(texts.fix_undo, min_width=0, size="sm")
            # Escape presses it, too (page.js).
            leave = gr.Button(texts.fix_leave, min_width=0, size="sm", elem_id="fc-fix-leave")

    hidden = gr.Column(visible=False)
    everything = [card, about, pick, dish, text, undo]

    async def on_open(request: gr.Request, event: gr.EventData, seen: Any) -> Any:
        visitor, job_id = visitor_of(request), job_at(seen, (event._data or {}).get("place"))
        job = None
        if visitor is not None and job_id is not None:
            job = await talk.correctable(db, visitor, job_id)
        if visitor is None or job is None:
            raise gr.Error(texts.fix_stale, print_exception=False, duration=8)
        said = await corrections.of(db, job.id, CHANNEL, visitor.id)
        names = corrections.candidates(job, "zh" if job.lang == "zh" else "en")
        choices = [(name, number) for number, name in enumerate(names)]
        if corrections.names_a_dish(job):
            choices.append((texts.fix_none, NONE))
        before = said.dish if said is not None else None
        picked = names.index(before) if before in names else None
        if before is not None and prompts.is_no_dish(before):
            picked, before = NONE, None
        return (
            gr.Column(visible=True),
            job.id,
            gr.Radio(choices=choices, value=picked, visible=bool(choices)),
            "" if picked is not None else before or "",
            (said.text if said is not None else None) or "",
            gr.Button(visible=said is not None),
        )

    async def on_send(
        request: gr.Request, job_id: Any, picked: Any, named: Any, better: Any
    ) -> Any:
        visitor = visitor_of(request)
        if visitor is None or not isinstance(job_id, int):
            return hidden, gr.skip()
        number = picked if isinstance(picked, int) else None
        given = talk.correct(
            db, visitor, job_id, pick=number, dish=str(named or ""), text=str(better or "")
        )
        made = await plainly(db, texts, given)
        noted = []
        if made.dish is not None:
            called = texts.fix_none if prompts.is_no_dish(made.dish) else made.dish
            noted.append(texts.fix_noted_dish.format(dish=html.escape(called)))
        if made.text is not None:
            noted.append(texts.fix_noted_text)
        gr.Info(" ".join([*noted, texts.fix_thanks]), duration=8)
        return hidden, await consent.ask(db, visitor)

    async def on_undo(request: gr.Request, job_id: Any) -> Any:
        visitor = visitor_of(request)
        if visitor is not None and isinstance(job_id, int):
            await talk.take_back(db, visitor, job_id, withdraw=withdraw)
            gr.Info(texts.fix_undone, duration=6)
        return hidden

    bell.click(on_open, [seen], everything, **QUICK)
    send.click(on_send, [about, pick, dish, text], [card, question], **QUICK)
    undo.click(on_undo, [about], [card], **QUICK)
    leave.click(lambda: hidden, None, [card], **QUICK)
