"""What the bot says, in Project Fluent: `texts.text("zh", "queued", ahead=2, seconds=5)`.

A person's language is what they chose with /language, else what their Telegram says (any Chinese is
zh), else the operator's default.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from fluent.runtime import FluentBundle, FluentResource

Lang = Literal["zh", "en"]
LANGUAGES: tuple[Lang, ...] = ("zh", "en")
#: How each language is called in itself.
NAMES: Mapping[Lang, str] = {"zh": "中文", "en": "English"}
FOLDER = Path(__file__).parent


@cache
def bundle(lang: Lang) -> FluentBundle:
    """The messages of one language."""
    # Isolation marks (U+2068) would count against Telegram's limits and show up in searches.
    made = FluentBundle([lang], use_isolating=False)
    made.add_resource(FluentResource((FOLDER / f"{lang}.ftl").read_text("utf-8")))
    return made


def text(lang: Lang, name: str, /, **values: str | int) -> str:
    """One message; KeyError when it is missing, ValueError when a variable is."""
    messages = bundle(lang)
    if not messages.has_message(name) or (pattern := messages.get_message(name).value) is None:
        raise KeyError(f"bot/texts/{lang}.ftl has no message {name!r}")
    said, errors = messages.format_pattern(pattern, values)
    if errors:
        raise ValueError(f"bot/texts/{lang}.ftl: {name}: {errors[0]}")
    return str(said)


def language(chosen: str | None, telegram: str | None, default: Lang) -> Lang:
    """The language to speak with somebody.

    `telegram` is the IETF tag of their app, like `zh-hans`. Someone whose app speaks neither
    language gets English, someone whose app does not say gets the operator's default.
    """
    if chosen == "zh" or chosen == "en":
        return "zh" if chosen == "zh" else "en"
    if not telegram:
        return default
    return "zh" if telegram.lower().startswith("zh") else "en"
