"""✏️: what was wrong with an answer, by a tap or two, or in the person's own words.

```
 ✏️ ─▶ "what is it really?" ─┬─ a dish the answer also thought of, or none ──────▶ noted ─▶ undo
        (foodcritic.askings) ├─ another dish ─▶ reply with its name ───────────▶ noted ─▶ undo
                             └─ better text ──▶ reply with it, edit the reply ─▶ noted ─▶ undo
```

fix:<job>  dish:<asking>:<number>  none:<asking>  name:<asking>  text:<asking>  leave:<asking>
undo:<correction>

Anybody in the chat of an answer may say what was wrong with it; the questions that follow are for
whoever began. Nothing is remembered here: what is asked whom stands in the database.
"""

import re
from typing import Any, Final

import structlog
from telegram import (
    CallbackQuery,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    Update,
    User,
)
from telegram.ext import CallbackQueryHandler

from bot import consent, delivery, notes, texts
from bot.courier import CHANNEL
from bot.desk import Desk, bound, language, say
from bot.taps import here, notice
from bot.texts import Lang
from foodcritic import askings, corrections, privacy, prompts, queue
from foodcritic.askings import Asking, Wants
from foodcritic.corrections import Correction
from foodcritic.errors import CorrectionError, CorrectionNotFound, JobNotFound

log = structlog.get_logger(__name__)

DATA: Final = re.compile(
    r"(fix|none|name|text|leave|undo):([1-9]\d{0,17})|(dish):([1-9]\d{0,17}):(\d)"
)
#: Characters of a better answer that are shown back.
SHOWN: Final = 200


def register(application: Any, desk: Desk) -> None:
    """Add the taps; replies come through `heard`."""
    pattern = r"^(fix|dish|none|name|text|leave|undo):"
    application.add_handler(CallbackQueryHandler(bound(desk, on_tap), pattern=pattern))


# -- taps --------------------------------------------------------------------------------------


async def on_tap(desk: Desk, update: Update) -> None:
    query = update.callback_query
    assert query is not None
    match = DATA.fullmatch(query.data or "")
    lang = await language(desk, query.from_user, query.message.chat if query.message else None)
    if match is None:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    name, number = match[1] or match[3], int(match[2] or match[4])
    if name == "fix":
        await ask(desk, query, lang, number)
        return
    if name == "undo":
        await undo(desk, query, lang, number)
        return
    asking = await _theirs(desk, query, number)
    if isinstance(asking, str):
        await notice(query, texts.text(lang, asking))
    elif name == "leave":
        await askings.end(desk.db, asking.id)
        await notice(query, texts.text(lang, "fix-left"))
        await notes.take_away(desk, asking)
    elif name in ("name", "text"):
        await notice(query, "")
        await _ask_words(desk, query, asking, lang, "text" if name == "text" else "dish")
    else:
        await choose(desk, query, asking, lang, None if name == "none" else int(match[5]))


async def ask(desk: Desk, query: CallbackQuery, lang: Lang, job_id: int) -> None:
    """Ask what was wrong, in a message that replaces the last one that asked."""
    job = await here(desk.db, query, job_id)
    message = query.message
    if job is None or not isinstance(message, Message) or not corrections.is_correctable(job):
        await notice(query, texts.text(lang, "tap-stale"))
        return
    await notice(query, "")
    user = query.from_user
    asking, before = await askings.begin(desk.db, job.id, CHANNEL, message.chat.id, user.id)
    names = corrections.candidates(job, lang)
    keyboard = [[(name, f"dish:{asking.id}:{n}")] for n, name in enumerate(names)]
    if corrections.names_a_dish(job):
        keyboard.append([(texts.text(lang, "button-no-dish"), f"none:{asking.id}")])
    keyboard += [
        [
            (texts.text(lang, "button-other-dish"), f"name:{asking.id}"),
            (texts.text(lang, "button-better-text"), f"text:{asking.id}"),
        ],
        [(texts.text(lang, "button-leave"), f"leave:{asking.id}")],
    ]
    text = texts.text(lang, "fix-ask")
    await notes.send(desk, query, asking, text, notes.keyboard(keyboard), "dish")
    if before is not None:
        await delivery.delete(desk.bot, notes.target(message), before)


async def choose(
    desk: Desk, query: CallbackQuery, asking: Asking, lang: Lang, number: int | None
) -> None:
    """A dish was tapped; None: there is none in the picture."""
    try:
        job = await queue.get(desk.db, asking.job_id)
    except JobNotFound:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    names = corrections.candidates(job, lang)
    if number is not None and number >= len(names):
        await notice(query, texts.text(lang, "tap-stale"))
        return
    dish = prompts.NO_DISH_NAME[lang] if number is None else names[number]
    made = await corrections.propose(
        desk.db, job.id, CHANNEL, query.from_user.id, dish=dish, lang=job.lang
    )
    await notice(query, "")
    await _noted(desk, query.from_user, made, lang, query)


async def undo(desk: Desk, query: CallbackQuery, lang: Lang, number: int) -> None:
    """Take a correction back, also out of what has been learnt from."""
    user = query.from_user
    try:
        said = await corrections.get(desk.db, number)
    except CorrectionNotFound:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    if await here(desk.db, query, said.job_id) is None:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    if (said.channel, said.user_id) != (CHANNEL, user.id):
        await notice(query, texts.text(lang, "tap-not-yours"))
        return
    await privacy.take_back(desk.db, said, withdraw=desk.withdraw)
    await notice(query, texts.text(lang, "fix-undone"))
    if isinstance(query.message, Message):
        await notes.edit(desk, query.message, texts.text(lang, "fix-undone"), None)


# -- words -------------------------------------------------------------------------------------


async def heard(desk: Desk, message: Message) -> bool:
    """Take a reply (or an edited one) to a message that asks; False: it is none."""
    user, replied = message.from_user, message.reply_to_message
    if user is None or replied is None or replied.from_user is None or not message.text:
        return False
    if replied.from_user.id != desk.bot.id or message.text.startswith("/"):
        return False
    asking = await askings.of_message(desk.db, CHANNEL, message.chat.id, replied.message_id)
    if asking is None or asking.user_id != user.id:
        return False
    lang = await language(desk, user, message.chat)
    given: dict[str, str] = {asking.wants: message.text}
    written = corrections.written_in(message.text)
    try:
        made = await corrections.propose(
            desk.db, asking.job_id, CHANNEL, user.id, lang=written, **given
        )
    except CorrectionError as refused:
        if refused.code != "too_long":
            raise
        most = {"dish": corrections.LONGEST_DISH, "text": corrections.LONGEST_TEXT}
        too_long = texts.text(lang, f"fix-too-long-{asking.wants}", limit=most[asking.wants])
        await say(desk, message, too_long)
        return True
    await _noted(desk, user, made, lang, message)
    return True


async def _ask_words(
    desk: Desk, query: CallbackQuery, asking: Asking, lang: Lang, wants: Wants
) -> None:
    """A message that clients open a reply to by themselves, in the place of the buttons."""
    if not isinstance(query.message, Message):
        return
    hint = texts.text(lang, f"fix-hint-{wants}")
    text = texts.text(lang, f"fix-ask-{wants}")
    reply = ForceReply(selective=True, input_field_placeholder=hint)
    await notes.send(desk, query, asking, text, reply, wants)
    await notes.take_away(desk, asking)


# -- what is said ------------------------------------------------------------------------------


async def _noted(
    desk: Desk, user: User, made: Correction, lang: Lang, where: CallbackQuery | Message
) -> None:
    """Say what was noted, with a way back; the first time ask whether it may be learnt from."""
    lines = []
    if made.dish is not None:
        nothing = prompts.is_no_dish(made.dish)
        dish = texts.text(lang, "button-no-dish") if nothing else made.dish
        lines.append(texts.text(lang, "fix-noted-dish", dish=dish))
    if made.text is not None:
        short = made.text if len(made.text) <= SHOWN else f"{made.text[:SHOWN].rstrip()}…"
        lines.append(texts.text(lang, "fix-noted-text", text=short))
    lines.append(texts.text(lang, "fix-thanks"))
    rows = [[InlineKeyboardButton(texts.text(lang, "button-undo"), None, f"undo:{made.id}")]]
    asks = await consent.is_due(desk, user)
    if asks:
        lines += ["", texts.text(lang, "consent-ask")]
        rows.insert(0, consent.buttons(lang, user.id))
    text, keyboard = "\n".join(lines), InlineKeyboardMarkup(rows)
    if isinstance(where, Message):
        await say(desk, where, text, keyboard)
    elif isinstance(where.message, Message):
        await notes.edit(desk, where.message, text, keyboard)
    if asks:
        await consent.asked(desk, user)
    log.info("bot.corrected", job=made.job_id, correction=made.id)


async def _theirs(desk: Desk, query: CallbackQuery, number: int) -> Asking | str:
    """The asking of a button, if it is of this chat and person; else the text that says no."""
    asking = await askings.get(desk.db, number)
    chat = query.message.chat.id if query.message is not None else None
    if asking is None or asking.channel != CHANNEL or asking.chat_id != chat:
        return "tap-stale"
    return asking if asking.user_id == query.from_user.id else "tap-not-yours"
