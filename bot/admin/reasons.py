"""What the gate said of a candidate, in an administrator's language."""

from collections.abc import Mapping
from typing import Any

from bot import texts
from bot.texts import Lang


def said(lang: Lang, reason: Mapping[str, Any]) -> str:
    """A reason of a verdict's JSON (`training.gate.Reason`), in a line.

    One of a version from before reasons were translated is said in English.
    """
    if not reason.get("says"):
        return str(reason.get("text", ""))
    values = {
        "count": str(reason["n"]),
        "needed": str(reason["needed"]),
        "margin": _share(reason["margin"], ".0%"),
        "live": _share(reason["live"], ".1%"),
        "candidate": _share(reason["candidate"], ".1%"),
        "lower": _share(reason["lower"], "+.1%"),
    }
    for name in ("first_token", "each_token"):
        for which, seconds in zip(("live", "candidate"), reason[name] or (), strict=False):
            values[f"{name}_{which}"] = f"{seconds * 1000:.1f}"
    part = texts.text(lang, f"gate-part-{reason['part']}")
    return texts.text(lang, f"gate-{reason['says']}", part=part, **values)


def _share(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
