"""What the tables are made of: enumerations stored by value, UTC times, JSON, keys, constraints."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class JobStatus(StrEnum):
    """Where a job is: todo → doing → succeeded | failed | cancelled."""

    TODO = "todo"
    DOING = "doing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)
ACTIVE = (JobStatus.TODO, JobStatus.DOING)


class JobKind(StrEnum):
    """What is asked of the model."""

    CRITIQUE = "critique"
    QUESTION = "question"
    CHOICE = "choice"
    MEME = "meme"
    #: no question to the model: a picture of an answer that is there
    CARD = "card"


class ReviewStatus(StrEnum):
    """Where a correction is."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class ModelStatus(StrEnum):
    """Where a model version is."""

    CANDIDATE = "candidate"
    LIVE = "live"
    RETIRED = "retired"
    REJECTED = "rejected"


class RunStatus(StrEnum):
    """Where a training run is."""

    TODO = "todo"
    DOING = "doing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BroadcastStatus(StrEnum):
    """Where an announcement to everybody is."""

    DRAFT = "draft"
    SENDING = "sending"
    SENT = "sent"
    CANCELLED = "cancelled"


class LetterStatus(StrEnum):
    """Where one person's copy of an announcement is."""

    TODO = "todo"
    #: handed to Telegram; a process that dies now leaves it unknown whether it arrived
    DOING = "doing"
    SENT = "sent"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class UTCDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime on both databases (SQLite has no zones: naive UTC there)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone: use datetime.now(UTC)")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _enum(kind: type[StrEnum]) -> sa.Enum:
    # By value, as text without a CHECK: adding a member must not rewrite a table.
    return sa.Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite's rowid must be INTEGER
Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Base(DeclarativeBase):
    """The registry: types by annotation, constraint names by convention (Alembic needs them)."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: sa.BigInteger(),
        datetime: UTCDateTime(),
        dict[str, Any]: Json,
        list[Any]: Json,
        **{
            kind: _enum(kind)
            for kind in (
                *(JobStatus, JobKind, ReviewStatus, ModelStatus, RunStatus),
                *(BroadcastStatus, LetterStatus),
            )
        },
    }


def numbered() -> Mapped[int]:
    """A number that the database gives out."""
    return mapped_column(BigId, primary_key=True, autoincrement=True)


def owner(table: str, column: str) -> sa.ForeignKeyConstraint:
    """The person or chat that a row is of, and goes with."""
    # A group that becomes a supergroup changes its number: the cascade carries its rows along.
    return sa.ForeignKeyConstraint(
        ["channel", column],
        [f"{table}.channel", f"{table}.id"],
        onupdate="CASCADE",
        ondelete="CASCADE",
    )


def when(name: str, *columns: str, where: str, unique: bool = False) -> sa.Index:
    """A partial index: it holds only the rows `where` is true of."""
    condition = sa.text(where)
    return sa.Index(
        name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition
    )
