"""What the page says, zh (`web.chinese`) and en (`web.english`), and which a browser asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from web.chinese import ZH
from web.english import EN
from web.wording import Lang, Texts

__all__ = ["EN", "LANGUAGES", "TEXTS", "ZH", "Lang", "Texts", "preferred", "spoken"]

LANGUAGES: Final[tuple[Lang, ...]] = get_args(Lang)

TEXTS: Final[dict[Lang, Texts]] = {"zh": ZH, "en": EN}


def spoken(session: Mapping[str, object], accept_language: str | None, default: Lang) -> Lang:
    """What somebody chose last, else what their browser asks for, else the default."""
    chosen = session.get("lang")
    return next((lang for lang in LANGUAGES if lang == chosen), preferred(accept_language, default))


def preferred(accept_language: str | None, default: Lang) -> Lang:
    """The language of ours that an ``Accept-Language`` header likes best (RFC 9110, 12.5.4)."""
    best: Lang = default
    weight = 0.0
    for part in (accept_language or "").split(",")[:20]:
        tag, _, parameter = part.strip().partition(";")
        name = tag.strip().lower().split("-")[0]
        try:
            quality = float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
        except ValueError:
            continue
        for lang in LANGUAGES:
            if name == lang and quality > weight:
                best, weight = lang, quality
    return best
