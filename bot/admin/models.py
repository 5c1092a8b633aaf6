"""/models: which versions there are and which serves; promote one, or roll back."""

import asyncio
from pathlib import Path

from telegram import InlineKeyboardMarkup
from telegram.error import BadRequest

from bot import texts
from bot.admin.orders import Order, Press, data, rows
from bot.admin.reasons import said
from bot.desk import Desk, say
from bot.texts import Lang
from foodcritic import audit, registry
from foodcritic.columns import ModelStatus
from foodcritic.errors import ModelError
from foodcritic.registry import Version

#: Versions that are shown, and that have a button.
SHOWN, BUTTONS = 8, 4
#: Characters of a reason: Telegram's notices hold 200.
LONGEST = 140


async def on_models(order: Order) -> None:
    """/models: the list."""
    text, keyboard = await _list(order.desk, order.lang)
    await say(order.desk, order.message, text, keyboard, reply=False)


async def on_models_tap(press: Press) -> None:
    """Promote the version of that number, or roll back."""
    db = press.desk.db
    try:
        if press.action == "promote":
            chosen = await registry.promote(db, str(press.number))
            await audit.record(db, press.actor, "promote", chosen.name)
            said = texts.text(press.lang, "tap-model-promoted", name=chosen.name)
        else:
            live = await registry.live(db)
            if live is None or live.id != press.number:  # it was another one that was shown
                raise ModelError(texts.text(press.lang, "tap-stale"))
            why = f"rolled back by {press.actor}"
            back = await registry.rollback(db, reason=why, failed=press.number)
            name = back.name if back else await registry.base(db)
            await audit.record(db, press.actor, "rollback", name, reason=why)
            said = texts.text(press.lang, "tap-model-back", name=name)
    except ModelError as error:
        said = texts.text(press.lang, "tap-model-cannot", reason=str(error)[:LONGEST])
    await press.query.answer(said[:200])
    text, keyboard = await _list(press.desk, press.lang)
    try:
        await press.query.edit_message_text(text, reply_markup=keyboard)
    except BadRequest:
        return  # nothing has changed


async def _list(desk: Desk, lang: Lang) -> tuple[str, InlineKeyboardMarkup | None]:
    db = desk.db
    live, said = await registry.live(db), await registry.serving(db)
    line = await registry.base(db)
    name = live.name if live else line
    lines = [texts.text(lang, "models-list", name=name)]
    if said and said["error"]:
        lines.append(texts.text(lang, "models-error", reason=str(said["error"])[:LONGEST]))
    versions = await registry.listing(db, limit=SHOWN)
    stored = [v.id for v in versions if await asyncio.to_thread(v.is_stored, db.settings)]
    lines += [_row(version, lang, line, stored=version.id in stored) for version in versions]
    if not versions:
        lines.append(texts.text(lang, "models-none"))
    buttons = [
        (_label(lang, version), data("models", "promote", version.id))
        for version in versions
        if version.status is not ModelStatus.LIVE and version.base == line and version.id in stored
    ][:BUTTONS]
    made = [(button,) for button in buttons]
    if live is not None:
        label = texts.text(lang, "button-model-rollback")
        made.append(((label, data("models", "rollback", live.id)),))
    return "\n".join(lines), rows(*made) if made else None


def _row(version: Version, lang: Lang, line: str, *, stored: bool) -> str:
    report = version.report or {}
    reasons = (said(lang, r) for r in report.get("reasons", ()) if r["ok"] is report["passed"])
    reason = report.get("rolled_back") or next(reasons, "")
    state = texts.text(lang, f"model-{version.status}")
    if version.base is not None and version.base != line:  # not even a live one serves
        state = texts.text(lang, "model-other", state=state, name=Path(version.base).name)
    if not stored:
        state = texts.text(lang, "model-deleted", state=state)
    row = texts.text(
        lang, "models-row", name=version.name, state=state, reason=str(reason)[:LONGEST]
    )
    return f"• {row.strip()}"


def _label(lang: Lang, version: Version) -> str:
    return texts.text(lang, "button-model-promote", name=version.name)
