"""Settings: documented, checked, and silent about secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from foodcritic import settings
from foodcritic.errors import SettingsError
from foodcritic.settings import Settings
from tests.conftest import settings_for

EXAMPLE = Path(__file__).parents[1] / ".env.example"


def test_the_example_lists_every_setting_with_a_comment_and_its_default(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    values = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]", line))
    assert set(values) == {settings.variable(field) for field in Settings.model_fields}
    for number, line in enumerate(lines):
        if re.match(r"[A-Z]", line):
            assert lines[number - 1].startswith("#") or re.match(r"[A-Z]", lines[number - 1])
    defaults = Settings(_env_file=None).model_dump(exclude={"home"})  # type: ignore[call-arg]
    assert Settings(_env_file=EXAMPLE).model_dump(exclude={"home"}) == defaults  # type: ignore[call-arg]
    # Their default depends: who copies the example has not chosen them.
    assert values["FOODCRITIC_TRAIN_RECIPE"] == values["FOODCRITIC_LOG_LEVEL"] == ""
    assert Path(values["FOODCRITIC_HOME"]) == Settings.model_fields["home"].default


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOODCRITIC_ADMINS", "1, 22")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:secret")
    monkeypatch.setenv("FOODCRITIC_TRUSTED_MODELS", "a/b,c/d")
    read = settings.load(_env_file=None)
    assert (read.admins, read.trusted_models) == ((1, 22), ("a/b", "c/d"))
    assert read.telegram_bot_token is not None
    assert read.telegram_bot_token.get_secret_value() == "1:secret"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FOODCRITIC_WEB_PORT", "http"),
        ("FOODCRITIC_ADMINS", "me"),
        ("FOODCRITIC_DATABASE_URL", "mysql://u:hush@h/d"),
        ("FOODCRITIC_TRAIN_AT", "25:00"),
        ("FOODCRITIC_ENGINE", "magic"),
        ("FOODCRITIC_ENGINE_URL", "localhost:8000"),
        ("FOODCRITIC_TELEGRAM_API", "api.telegram.org"),
        ("FOODCRITIC_WEBHOOK_URL", "bot.example.org/hook"),
        ("FOODCRITIC_WEBHOOK_SECRET", "hush hush"),
    ],
)
def test_a_wrong_setting_is_named_with_a_remedy_and_its_secret_is_not(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=rf"{variable}: .*\.env\.example") as refused:
        settings.load(_env_file=None)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("TELEGRAM_BOT_TOKEN", "hello", "@BotFather gives one that looks like 123456789:"),
        ("FOODCRITIC_ADMINS", "1, @ann", "'@ann' is no Telegram id"),
        ("FOODCRITIC_DATABASE_URL", "mysql://h/d", "use postgresql://USER:PASSWORD@HOST/NAME"),
        ("FOODCRITIC_TRAIN_AT", "25:00", "a local time from 00:00 to 23:59"),
        ("FOODCRITIC_LOG_LEVEL", "loud", "input should be 'DEBUG', 'INFO'"),
    ],
)
def test_a_remedy_can_be_typed_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=re.escape(f"{variable}: ")) as refused:
        settings.load(_env_file=None)
    assert remedy in str(refused.value)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("FOODCRITIC_WEB_PASSWORT=hush", "FOODCRITIC_WEB_PASSWORD"),
        ("FOODCRITIC_ALOWED=1", "FOODCRITIC_ALLOWED"),
        ("foodcritic_temprature=1", "FOODCRITIC_TEMPERATURE"),
    ],
)
def test_a_misspelt_setting_is_refused_instead_of_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, meant: str
) -> None:
    """A password that is not set lets everybody in."""
    (tmp_path / ".env").write_text(line)
    with pytest.raises(SettingsError, match=rf"is no setting: {meant} is") as refused:
        settings.load(_env_file=tmp_path / ".env")
    assert "hush" not in str(refused.value)
    monkeypatch.setenv(*line.split("="))
    with pytest.raises(SettingsError, match=rf"is no setting: {meant} is"):
        settings.load(_env_file=None)


def test_what_is_no_setting_of_ours_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Other programs' variables, ours for children and tests, and lines without a value."""
    lines = "HF_TOKEN=x\nFOODCRITIC_WEB_PASSWORT=\nFOODCRITIC_SOMETHING_NEWER=1\nWEB_PORTS=1\n"
    (tmp_path / ".env").write_text(lines)
    for name in ("BEAT", "PARENT", "TEST_POSTGRES", "POSTGRES_DIR", "SCREENSHOTS", "TRUSTED_"):
        monkeypatch.setenv(f"FOODCRITIC_{name}", "x")
    settings.load(_env_file=tmp_path / ".env")


def test_an_env_file_that_is_no_text_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As an editor on Windows may save it."""
    (tmp_path / ".env").write_bytes("FOODCRITIC_LANGUAGE=zh".encode("utf-16"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"^\.env is not UTF-8: save it"):
        settings.load()


def test_a_log_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOODCRITIC_LOG_LEVEL", "warning")
    assert settings.load(_env_file=None).log_level == "WARNING"


def test_database_addresses_get_their_driver(tmp_path: Path) -> None:
    assert settings_for(tmp_path).database == f"sqlite+aiosqlite:///{tmp_path}/foodcritic.db"
    url = settings_for(tmp_path, database_url="postgres://u:p@h/d").database
    assert url == "postgresql+asyncpg://u:p@h/d"


def test_secrets_never_print(tmp_path: Path) -> None:
    secret = settings_for(
        tmp_path,
        telegram_bot_token="123456:hush",
        web_password="hush-hush",
        database_url="postgresql://u:hush@h/d",
    )
    assert "hush" not in repr(secret)
    assert "hush" not in secret.model_dump_json()
