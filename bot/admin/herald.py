"""The herald: tells administrators how training runs go, and how they end.

```
 runs ─▶ who asked for it: one message, edited: stage, step, loss, time left, the loss curve
      └▶ every administrator, at the end: promoted or not and why, with the answers side by side
```

What was told to whom is a row of `switches`: a herald that dies is followed by one that goes on.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from telegram import InputMediaPhoto
from telegram.error import BadRequest, Forbidden, TelegramError

from bot import texts
from bot.admin.reasons import said
from bot.admin.retrain import cancel
from bot.budget import Dropped, MeteredBot
from bot.courier import CHANNEL
from bot.gate import Priority
from bot.texts import Lang
from foodcritic import people, privacy, runs, switches, tables, wake
from foodcritic.columns import RunStatus
from foodcritic.db import Database
from foodcritic.drawing import curve
from foodcritic.runs import Run

log = structlog.get_logger(__name__)

#: Seconds between two edits of one message.
EVERY = 5.0
#: A run that ended longer ago is no news.
NEWS = timedelta(days=2)
#: A person's setting: the language an administrator was last answered in.
SPOKEN = "spoken"
#: Characters of a reason under a picture (Telegram's captions hold 1024).
LONGEST = 700


@dataclass(slots=True)
class _Told:
    """What was told of one run."""

    run: int
    #: the one message of the person who asked
    message: int | None = None
    #: caption that it has now
    shown: str = ""
    #: who heard how it ended
    heard: list[int] = field(default_factory=list)


async def run(db: Database, bot: MeteredBot, *, scale: float = 1.0) -> None:
    """Tell, until cancelled."""
    edited: dict[int, float] = {}
    clock = asyncio.get_running_loop().time
    async with wake.listen(db, runs.TOPIC) as bell:
        while True:
            for found in reversed(await runs.listing(db, 5)):
                if not found.is_finished and clock() - edited.get(found.id, -EVERY) < EVERY * scale:
                    continue
                try:
                    await _tell(db, bot, found)
                except Dropped:
                    continue
                except TelegramError as error:
                    log.warning("bot.herald_waits", run=found.id, error=error.message)
                edited[found.id] = clock()
            await bell.wait(EVERY * scale)


async def _tell(db: Database, bot: MeteredBot, found: Run) -> None:
    told = await _read(db, found.id)
    admins = db.settings.admins
    asker = _asker(found, admins)
    if not found.is_finished:
        if asker is not None:
            await _progress(db, bot, found, asker, told)
        return
    if found.finished is None or db.now() - found.finished > NEWS:
        return
    for admin in admins:
        if admin not in told.heard:
            with contextlib.suppress(Forbidden):  # an administrator who blocked us
                await _ending(db, bot, found, admin, told.message if admin == asker else None)
            told.heard.append(admin)
            await _store(db, told)


async def _progress(db: Database, bot: MeteredBot, found: Run, asker: int, told: _Told) -> None:
    lang = await _language(db, asker)
    steps = await runs.curve(db, found.id)
    caption = _stage(found, steps, lang)
    if caption == told.shown:
        return
    title = f"run {found.id} · loss"
    points = [(step.step, step.loss) for step in steps]
    total = steps[-1].metrics.get("iterations") if steps else None
    picture = await asyncio.to_thread(curve.draw, points, total, title)
    keyboard = cancel(lang, found.id)
    if told.message is None:
        sent = await bot.send_photo(
            asker, picture, caption, reply_markup=keyboard, rate_limit_args=Priority.NORMAL
        )
        told.message = sent.message_id
    else:
        await _edit(bot, asker, told.message, picture, caption, keyboard, Priority.SPARE)
    told.shown = caption
    await _store(db, told)


async def _ending(
    db: Database, bot: MeteredBot, found: Run, admin: int, message: int | None
) -> None:
    lang = await _language(db, admin)
    caption = _outcome(found, lang)
    poster = db.settings.home / (found.path or "") / "report.png"
    # The curve stays, with what came of it. An edit calls nobody, and it may have been deleted.
    if message is not None:
        steps = await runs.curve(db, found.id)
        points = [(step.step, step.loss) for step in steps]
        drawn = await asyncio.to_thread(curve.draw, points, None, f"run {found.id} · loss")
        await _edit(bot, admin, message, drawn, caption, None, Priority.NORMAL)
        if found.status is RunStatus.CANCELLED:  # by an administrator, who need not be called
            return
    if poster.is_file():
        data = await asyncio.to_thread(Path.read_bytes, poster)
        await bot.send_photo(admin, data, caption, rate_limit_args=Priority.NORMAL)
    else:
        await bot.send_message(admin, caption, rate_limit_args=Priority.NORMAL)


async def _edit(
    bot: MeteredBot,
    chat: int,
    message: int,
    picture: bytes,
    caption: str,
    keyboard: Any,
    priority: Priority,
) -> None:
    try:
        await bot.edit_message_media(
            InputMediaPhoto(picture, caption),
            chat,
            message,
            reply_markup=keyboard,
            rate_limit_args=priority,
        )
    except BadRequest as error:  # deleted, or nothing new in it
        log.info("bot.herald_not_edited", error=error.message)


def _stage(found: Run, steps: list[runs.Step], lang: Lang) -> str:
    if found.stage == "train" and steps:
        last = steps[-1]
        left = round(float(last.metrics.get("seconds_left") or 0))
        return texts.text(
            lang,
            "run-step",
            number=str(found.id),
            step=str(last.step),
            total=str(last.metrics.get("iterations", "?")),
            loss=f"{last.loss:.3f}",
            time=f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}",
        )
    return texts.text(lang, f"run-{found.stage}", number=str(found.id))


def _outcome(found: Run, lang: Lang) -> str:
    number = str(found.id)
    if found.status is RunStatus.CANCELLED:
        return texts.text(lang, "run-cancelled", number=number)
    if found.status is RunStatus.FAILED:
        reason = (found.error or "")[-LONGEST:]
        return texts.text(lang, "run-failed", number=number, reason=reason)
    verdict = found.metrics.get("verdict") or {"passed": False, "version": "", "summary": ""}
    name = "run-promoted" if verdict["passed"] else "run-rejected"
    why = "; ".join(said(lang, one) for one in verdict.get("reasons", ()))
    reason = (why or str(verdict["summary"]))[:LONGEST]
    return texts.text(lang, name, number=number, name=verdict["version"], reason=reason)


def _asker(found: Run, admins: tuple[int, ...]) -> int | None:
    channel, _, number = found.actor.partition(":")
    who = int(number) if channel == CHANNEL and number.isdigit() else None
    return who if who in admins else None


async def remember(db: Database, admin: int, lang: Lang) -> None:
    """Keep the language an administrator was answered in: when a run ends, no message tells it."""
    known = await people.user(db, CHANNEL, admin)
    if known.settings.get(SPOKEN) != lang:
        await privacy.set_setting(db, CHANNEL, admin, SPOKEN, lang)


async def _language(db: Database, admin: int) -> Lang:
    known = await people.user(db, CHANNEL, admin)
    spoken = known.language or known.settings.get(SPOKEN)
    return texts.language(spoken, None, db.settings.language)


async def _read(db: Database, run_id: int) -> _Told:
    async with db.read() as session:
        row = await session.get(tables.Switch, f"herald:{run_id}")
    return _Told(run_id) if row is None else _Told(run_id, **row.value)


async def _store(db: Database, told: _Told) -> None:
    value = {"message": told.message, "shown": told.shown, "heard": told.heard}
    async with db.write() as session:
        await switches.put(session, db, f"herald:{told.run}", value)
