"""/retrain: ask for a training run, see how it goes, stop it. What happens then, `herald` tells."""

from telegram import InlineKeyboardMarkup
from telegram.error import BadRequest

from bot import texts
from bot.admin.orders import Order, Press, data, rows
from bot.texts import Lang
from foodcritic import audit, corrections, runs
from foodcritic.errors import RunBusy, RunNotFound


async def on_retrain(order: Order) -> None:
    """/retrain: train now? Or how the run under way stands, and a button to stop it."""
    db = order.desk.db
    await runs.sweep(db)
    run = await runs.unfinished(db)
    if run is not None:
        stage = texts.text(order.lang, f"run-{run.stage}", number=run.id)
        await order.answer(
            "retrain-busy", cancel(order.lang, run.id), number=run.id, stage=stage.rstrip("。.")
        )
        return
    go, no = (texts.text(order.lang, f"button-retrain-{what}") for what in ("go", "no"))
    keyboard = rows(((go, data("retrain", "go", 1)), (no, data("retrain", "no", 1))))
    name = await runs.recipe(db)
    count = await corrections.count_learnable(db)
    await order.answer("retrain-ask", keyboard, count=count, name=name)


async def on_retrain_tap(press: Press) -> None:
    """Train, not now, cancel."""
    db = press.desk.db
    if press.action == "go":
        await _go(press)
    elif press.action == "cancel":
        try:
            await runs.cancel(db, press.number)
        except RunNotFound:
            await _say(press, "retrain-not-now")
            return
        await audit.record(db, press.actor, "cancel-run", str(press.number))
        said = texts.text(press.lang, "retrain-cancelled", number=press.number)
        await press.query.answer(said)
    else:
        await _say(press, "retrain-not-now")


def cancel(lang: Lang, run_id: int) -> InlineKeyboardMarkup:
    """The button that stops a run."""
    label = texts.text(lang, "button-retrain-cancel")
    return rows(((label, data("retrain", "cancel", run_id)),))


async def _go(press: Press) -> None:
    db = press.desk.db
    try:
        run = await runs.create(db, await runs.recipe(db), actor=press.actor)
    except RunBusy as busy:
        stage = texts.text(press.lang, f"run-{busy.stage}", number=busy.run_id or 0)
        await _say(press, "retrain-busy", number=busy.run_id or 0, stage=stage.rstrip("。."))
        return
    await audit.record(db, press.actor, "retrain", str(run.id), recipe=run.recipe)
    await _say(press, "retrain-asked", number=run.id)


async def _say(press: Press, name: str, **values: str | int) -> None:
    """Put a text in the place of the question."""
    await press.query.answer()
    try:
        await press.query.edit_message_text(texts.text(press.lang, name, **values))
    except BadRequest:
        return  # a second tap: it says so already
