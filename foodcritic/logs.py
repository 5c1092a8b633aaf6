"""Structured logs: one line per event, JSON for machines, columns for people, nothing private.

    logs.configure(settings)
    log = structlog.get_logger(__name__)
    log.info("job.finished", **logs.timings(job))

An event is called `subject.what_happened`: the part of the system (bot, web, engine …) or the thing
(job, run, child …) it is about, then what became of it, in lower case with underscores.

What people wrote and what opens doors never reaches a line at INFO or above: the keys of `PRIVATE`
are dropped (at DEBUG texts are kept, secrets are not), and known secrets are blotted out wherever
they appear, also in other libraries' lines and in tracebacks.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, Final, TextIO

import structlog
from pydantic import SecretStr

from foodcritic.jobs import Job
from foodcritic.settings import Settings

#: keys that hold what people wrote or are called: dropped above DEBUG
PRIVATE: Final = frozenset(
    {
        *("answer", "caption", "critique", "draft", "first_name", "last_name", "payload", "prompt"),
        *("question", "text", "title", "update", "username"),
    }
)
#: keys that hold secrets: dropped always
SECRET: Final = frozenset(
    {"api_key", "authorization", "database_url", "password", "secret", "token", "webhook_secret"}
)
# What a bot token looks like, in case one that is not ours turns up in an address.
_TOKEN = re.compile(r"(?<!\d)\d{5,12}:[A-Za-z0-9_-]{30,}")
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+]*://[^\s:/@]*:)[^\s@/]+(@)")


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, and not a plain one: LMDeploy mutes every plain one of the root logger."""


def configure(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging, both to `stream` (default: stderr)."""
    stream = stream or sys.stderr
    json = in_json(settings, stream)
    level = logging.getLevelNamesMapping()[settings.log_level]
    blot = _Blot(
        value.get_secret_value()
        for value in (getattr(settings, name) for name in type(settings).model_fields)
        if isinstance(value, SecretStr)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        drop_private,
        blot,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, blot, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # httpx writes each address at INFO, and Telegram's addresses hold the token.
    for chatty in (
        *("alembic", "httpx", "httpx2", "httpcore", "httpcore2", "openai"),
        *("apscheduler", "aiosqlite", "PIL", "matplotlib"),
        *("uvicorn", "asyncio", "multipart", "python_multipart"),
    ):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


def in_json(settings: Settings, stream: TextIO | None = None) -> bool:
    """Whether lines are JSON, as `configure` writes them."""
    stream = stream or sys.stderr
    return settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())


def drop_private(
    _logger: Any, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop the keys that no line may carry; a processor."""
    private = method != "debug"
    for key in [*event]:
        if key in SECRET or (private and key in PRIVATE):
            del event[key]
    return event


def timings(job: Job) -> dict[str, Any]:
    """What the one line per job says: numbers, codes and durations in seconds, no text."""

    def since(start: Any, end: Any) -> float | None:
        return round((end - start).total_seconds(), 3) if start and end else None

    return {
        "job": job.id,
        "channel": job.channel,
        "kind": job.kind.value,
        "status": job.status.value,
        "attempts": job.attempts,
        "photos": len(job.photos),
        "error": job.error,
        "model": job.model,
        "waited": since(job.created, job.started),
        "first_token": since(job.started, job.first_token),
        "took": since(job.started, job.finished),
        **job.timings,
    }


class _Blot:
    """A processor that replaces known secrets in every string of an event."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        for key, value in event.items():
            if not key.startswith("_"):
                event[key] = self._clean(value)
        return event

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            if self._known is not None:
                value = self._known.sub("***", value)
            return _USERINFO.sub(r"\1***\2", _TOKEN.sub("***", value))
        if isinstance(value, dict):
            return {key: self._clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(inner) for inner in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self._clean(str(value))
