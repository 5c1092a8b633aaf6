"""All configuration, read once from the environment (and ``.env``) into a frozen `Settings`.

``load()`` is the one way in: it raises `SettingsError` naming each wrong variable. Every key is
listed with a comment in ``.env.example``. Secrets are ``SecretStr``: they never print.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

from foodcritic.errors import SettingsError

PREFIX = "FOODCRITIC_"
_FILE = ".env"
Ids = Annotated[tuple[int, ...], NoDecode]
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What an operator can set; each field is ``FOODCRITIC_<NAME>`` unless noted."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        protected_namespaces=(),
    )

    # state
    #: everything that must survive lies here: database, photos, models, runs
    home: Path = Path(".foodcritic")
    #: ``postgresql+asyncpg://…`` or ``sqlite+aiosqlite:///…``; default: SQLite in `home`
    database_url: SecretStr | None = None

    # engine
    engine: Literal["auto", "openvino", "lmdeploy", "openai"] = "auto"
    #: a folder, or a Hugging Face / ModelScope name; None: the bundled nano or the live version
    model: str | None = None
    model_revision: str | None = None
    model_hub: Literal["huggingface", "modelscope"] = "huggingface"
    #: a second model for memes
    meme_model: str | None = None
    #: model names whose own Python code may run (trust_remote_code)
    trusted_models: Names = ()
    #: base address of an OpenAI-compatible server with vision
    engine_url: str | None = None
    engine_key: SecretStr | None = None
    #: seconds to the first word that photos are cut down for under load; 0: never
    first_word_seconds: float = Field(default=3.0, ge=0, le=600)
    #: bits of the GPU's keys and values
    kv_bits: int = Field(default=16, ge=8, le=16, multiple_of=8)
    #: bits of the language model's weights on the GPU
    weight_bits: int = Field(default=16, ge=8, le=16, multiple_of=8)
    #: gigabytes of a GPU's memory that the models may take together; None: all that is free
    gpu_memory_gb: float | None = Field(default=None, gt=0)
    #: most 448-pixel tiles per question
    max_tiles: int = Field(default=12, ge=1, le=40)
    max_new_tokens: int = Field(default=512, ge=1, le=8192)
    temperature: float = Field(default=0.8, ge=0, le=2)
    top_p: float = Field(default=0.8, gt=0, le=1)
    top_k: int = Field(default=40, ge=1)
    #: jobs one worker answers at the same time; None: what the engine does best
    concurrency: int | None = Field(default=None, ge=1)

    # Telegram
    telegram_bot_token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("TELEGRAM_BOT_TOKEN", "FOODCRITIC_TELEGRAM_BOT_TOKEN"),
    )
    #: the Bot API server, without the trailing ``/bot<token>``
    telegram_api: str = "https://api.telegram.org"
    #: public https address Telegram posts updates to; None: long polling
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    webhook_host: str = "127.0.0.1"
    webhook_port: int = Field(default=8443, ge=0, le=65535)
    #: Telegram user ids of the operators
    admins: Ids = ()
    #: when not empty, only these Telegram users and chats are answered
    allowed: Ids = ()

    # web
    web_host: str = "127.0.0.1"
    web_port: int = Field(default=7860, ge=0, le=65535)
    #: required to bind beyond localhost
    web_password: SecretStr | None = None
    #: addresses and networks of reverse proxies whose X-Forwarded-For is believed
    web_proxies: Names = ("127.0.0.1", "::1")

    # people
    language: Literal["zh", "en"] = "en"
    #: unfinished jobs in the whole queue, and of one user
    queue_total: int = Field(default=500, ge=1)
    queue_per_user: int = Field(default=5, ge=1)
    user_jobs_per_minute: int = Field(default=10, ge=1)
    user_jobs_per_day: int = Field(default=200, ge=1)
    chat_jobs_per_minute: int = Field(default=30, ge=1)
    chat_jobs_per_day: int = Field(default=2000, ge=1)
    #: photos and transcripts older than this are swept nightly; 0 keeps them
    retention_days: int = Field(default=0, ge=0)
    #: key of the hashes that stand for forgotten or banned people; default: made once in `home`
    hash_key: SecretStr | None = None

    # learning
    #: a Python with XTuner in it; None: `foodcritic train` prepares one
    train_python: Path | None = None
    train_recipe: str = "critic-lora"
    #: approved corrections that start a nightly run
    train_after: int = Field(default=50, ge=1)
    #: local time of the nightly run, HH:MM
    train_at: str = "03:30"
    #: while training: stop serving on that GPU, or serve beside it
    train_serving: Literal["pause", "share"] = "pause"
    #: general LLaVA JSON that is learnt along, against forgetting, and its share of the records
    train_replay: Path | None = None
    train_replay_share: float = Field(default=0.2, ge=0, lt=1)
    #: GPUs of this machine that a run uses
    train_gpus: int = Field(default=1, ge=1)
    #: gigabytes of GPU memory (without a GPU: of memory) that a run may take; None: all there is
    train_memory_gb: float | None = Field(default=None, gt=0)
    #: gigabytes of disk for what frozen vision encoders made of photos; 0 keeps nothing
    train_cache_gb: float = Field(default=20, ge=0)

    # logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    #: auto: console on a terminal, JSON elsewhere
    log_format: Literal["auto", "json", "console"] = "auto"

    @field_validator("admins", "allowed", mode="before")
    @classmethod
    def _ids(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        for part in _split(value):
            if not re.fullmatch(r"-?\d{1,19}", part):
                raise ValueError(f"{part!r} is no Telegram id: give numbers, separated by commas")
        return [int(part) for part in _split(value)]

    @field_validator("trusted_models", "web_proxies", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return _split(value) if isinstance(value, str) else value

    @field_validator("web_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            try:
                ipaddress.ip_network(part)
            except ValueError:
                raise ValueError(f"{part!r} is no IP address or network like 10.0.0.0/8") from None
        return value

    @field_validator("train_at")
    @classmethod
    def _time(cls, value: str) -> str:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
            raise ValueError("give a local time from 00:00 to 23:59")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("engine_url", "telegram_api", "webhook_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/]+\S*", value):
            raise ValueError("give an address that begins with https:// or http://")
        return value

    @field_validator("telegram_bot_token")
    @classmethod
    def _token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"\d+:[\w-]+", value.get_secret_value(), re.A):
            raise ValueError("@BotFather gives one that looks like 123456789:AAF-x3kq…")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _header(cls, value: SecretStr | None) -> SecretStr | None:
        # What Telegram takes: https://core.telegram.org/bots/api#setwebhook
        if value is not None and not re.fullmatch(r"[\w-]{1,256}", value.get_secret_value(), re.A):
            raise ValueError("use 1 to 256 of A-Z, a-z, 0-9, _ and -")
        return value

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _driver(cls, value: SecretStr | None) -> SecretStr | None:
        """Accept the plain ``postgresql://`` and ``sqlite:///`` people paste; add our drivers."""
        if value is None:
            return None
        url = value.get_secret_value()
        scheme, separator, rest = url.partition("://")
        driver = {
            "postgres": "postgresql+asyncpg",
            "postgresql": "postgresql+asyncpg",
            "postgresql+asyncpg": "postgresql+asyncpg",
            "sqlite": "sqlite+aiosqlite",
            "sqlite+aiosqlite": "sqlite+aiosqlite",
        }.get(scheme)
        if not separator or driver is None:
            raise ValueError("use postgresql://USER:PASSWORD@HOST/NAME or sqlite:////PATH")
        return SecretStr(f"{driver}://{rest}")

    @cached_property
    def database(self) -> str:
        """The SQLAlchemy address of the database, secrets included: never log it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.home / 'foodcritic.db'}"

    def for_memes(self) -> Settings:
        """The same with the memes' model; FOODCRITIC_MODEL_REVISION is the other one's."""
        return self.model_copy(update={"model": self.meme_model, "model_revision": None})

    @property
    def media(self) -> Path:
        """The folder of content-addressed photos."""
        return self.home / "media"

    @property
    def models(self) -> Path:
        """The folder of downloaded and converted models."""
        return self.home / "models"


def load(**values: Any) -> Settings:
    """Read the settings; `values` win over the environment. Raises `SettingsError`."""
    try:
        read = Settings(**values)
        if wrong := _misspelt(values.get("_env_file", _FILE)):
            raise SettingsError(f"{wrong} (see .env.example)")
        return read
    except ValidationError as error:
        lines = [f"{_variable(e['loc'])}: {_said(e['msg'])}" for e in error.errors()]
        raise SettingsError("; ".join(lines) + " (see .env.example)") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{_FILE} is not UTF-8: save it as UTF-8 text") from None
    except ValueError as error:
        raise SettingsError(f"{error} (see .env.example)") from None


def variable(field: str) -> str:
    """The environment variable of a field: ``home`` → ``FOODCRITIC_HOME``."""
    alias = Settings.model_fields[field].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else PREFIX + field.upper()


def _misspelt(file: Any) -> str:
    """Names that are almost a setting's: ignored, they would leave a password or a limit unset."""
    known = {PREFIX + "TELEGRAM_BOT_TOKEN", *map(variable, Settings.model_fields)}
    given = EnvSettingsSource(Settings).env_vars.items() | (
        DotEnvSettingsSource(Settings, env_file=file).env_vars.items()
    )
    wrong = []
    for name in sorted({key.upper() for key, value in given if value} - known):
        if name.startswith(PREFIX):
            short = {key.removeprefix(PREFIX): key for key in sorted(known)}
            for near in difflib.get_close_matches(name.removeprefix(PREFIX), short, 1, 0.8):
                wrong.append(f"{name} is no setting: {short[near]} is")
    return "; ".join(wrong)


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    return variable(name) if name in Settings.model_fields else name


def _said(message: str) -> str:
    """Pydantic's sentence as the rest of ours; what a validator of ours said, as it stands."""
    ours = message.removeprefix("Value error, ")
    return ours if ours != message else message[:1].lower() + message[1:]


def _split(text: str) -> list[str]:
    return [part for part in text.replace(",", " ").split() if part]
