"""Both languages say the same things, and every text fits Telegram."""

import re

import pytest
from fluent.syntax import ast, parse
from fluent.syntax.visitor import Visitor

from bot import texts
from bot.markup import units

LIMITS = {"profile-short": 120, "profile-description": 512}
VALUES: dict[str, str | int] = {
    "ahead": 3, "seconds": 12, "minutes": 2, "limit": 5, "length": 5000, "name": "bot",
    "sent": 3, "blocked": 1, "unknown": 0, "time": "12:30:00 UTC", "title": "Gourmets",
    "count": 57, "number": 3, "stage": "train", "step": 40, "total": 200, "loss": "0.123",
    "reason": "better", "state": "live", "dish": "Pho", "text": "Broth.", "questions": 2,
    "photos": 2, "ratings": 2, "corrections": 2, "days": 30, "learning": "no",
    "needed": "20", "margin": "5%", "live": "50.0%", "candidate": "70.0%", "lower": "+5.0%",
    "part": "naming", "first_token_live": "90.0", "first_token_candidate": "95.0",
    "each_token_live": "2.0", "each_token_candidate": "2.1",
}  # fmt: skip


class Names(Visitor):
    def __init__(self) -> None:
        self.variables: set[str] = set()

    def visit_VariableReference(self, node: ast.VariableReference) -> None:
        self.variables.add(node.id.name)


def messages(lang: texts.Lang) -> dict[str, set[str]]:
    """Message id → its variables."""
    found = {}
    for entry in parse((texts.FOLDER / f"{lang}.ftl").read_text("utf-8")).body:
        assert not isinstance(entry, ast.Junk), entry.content
        if isinstance(entry, ast.Message):
            names = Names()
            names.visit(entry)
            found[entry.id.name] = names.variables
    return found


def test_both_languages_have_the_same_messages_with_the_same_variables() -> None:
    assert messages("zh") == messages("en")


@pytest.mark.parametrize("lang", texts.LANGUAGES)
@pytest.mark.parametrize("name", sorted(messages("en")))
def test_every_message_formats_and_fits(lang: texts.Lang, name: str) -> None:
    said = texts.text(lang, name, **VALUES)
    assert said.strip()
    assert "{" not in said
    limit = 200 if name.startswith("tap-") else LIMITS.get(name, 4096)
    assert units(said) <= limit
    if name.startswith("command-"):
        assert 3 <= len(said) <= 256


def test_chinese_is_chinese_and_english_is_english() -> None:
    for name in messages("en"):
        zh, en = (texts.text(lang, name, **VALUES) for lang in texts.LANGUAGES)
        if name not in {"button-model-promote", "command-language", "models-row"}:
            assert re.search(r"[\u4e00-\u9fff]", zh), name
            assert not re.search(r"[\u4e00-\u9fff]", en.replace("中文", "")), name


def test_every_message_is_used() -> None:
    code = "".join(p.read_text("utf-8") for p in texts.FOLDER.parent.rglob("*.py"))
    english = (texts.FOLDER / "en.ftl").read_text("utf-8")
    families = (
        *("photo-", "unsupported-", "command-", "limit-", "settings-"),
        *("admin-review-button-", "admin-plot-", "fix-", "consent-"),
        *("button-agree-", "button-drop-", "button-retrain-", "model-", "run-"),
        "gate-",
    )
    for name in messages("en"):
        assert f'"{name}"' in code or "{ " + name in english or name.startswith(families), name


@pytest.mark.parametrize(
    ("chosen", "telegram", "expected"),
    [
        (None, "zh-hans", "zh"),
        (None, "zh-TW", "zh"),
        (None, "de", "en"),
        (None, None, "zh"),
        ("en", "zh", "en"),
        ("zh", "en", "zh"),
        ("xx", "en", "en"),
    ],
)
def test_a_choice_wins_over_telegrams_language(
    chosen: str | None, telegram: str | None, expected: str
) -> None:
    assert texts.language(chosen, telegram, "zh") == expected


def test_a_missing_variable_is_an_error() -> None:
    with pytest.raises(ValueError, match="queued"):
        texts.text("zh", "queued", ahead=1)
    with pytest.raises(KeyError, match="nothing"):
        texts.text("zh", "nothing")
