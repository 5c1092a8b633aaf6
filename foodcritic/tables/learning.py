"""The tables of what people say of an answer, and of the models that learn from it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from foodcritic.columns import Base, ModelStatus, ReviewStatus, RunStatus, numbered, owner, when


class Feedback(Base):
    """One person's rating of one answer; a second vote replaces the first."""

    __tablename__ = "feedback"
    __table_args__ = (
        owner("users", "user_id"),
        sa.UniqueConstraint("job_id", "channel", "user_id"),
        sa.Index("ix_feedback_user", "channel", "user_id"),
        sa.Index("ix_feedback_created", "created"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = numbered()
    job_id: Mapped[int] = mapped_column(sa.ForeignKey("jobs.id", ondelete="CASCADE"))
    channel: Mapped[str]
    user_id: Mapped[int]
    #: +1 or -1; 0: taken back
    rating: Mapped[int] = mapped_column(sa.SmallInteger)
    #: the update it came with, where the channel numbers them
    update_id: Mapped[int | None]
    created: Mapped[datetime]


class Correction(Base):
    """What one person says the answer should have been; admins review it."""

    __tablename__ = "corrections"
    __table_args__ = (
        owner("users", "user_id"),
        sa.Index("ix_corrections_status", "status", "id"),
        sa.Index("ix_corrections_user", "channel", "user_id"),
        sa.Index("ix_corrections_job", "job_id"),
        sa.Index("ix_corrections_reviewed", "status", "reviewed"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = numbered()
    job_id: Mapped[int] = mapped_column(sa.ForeignKey("jobs.id", ondelete="CASCADE"))
    channel: Mapped[str]
    user_id: Mapped[int]
    #: the right dish, as given
    dish: Mapped[str | None]
    #: a better answer, whole
    text: Mapped[str | None] = mapped_column(sa.Text)
    lang: Mapped[str] = mapped_column(sa.String(8))
    model: Mapped[str | None]
    status: Mapped[ReviewStatus] = mapped_column(default=ReviewStatus.PENDING)
    created: Mapped[datetime]
    reviewed: Mapped[datetime | None]


class Asking(Base):
    """A message of ours that a person is to answer: what was wrong with that answer?"""

    __tablename__ = "askings"
    __table_args__ = (
        owner("users", "user_id"),
        owner("chats", "chat_id"),
        sa.UniqueConstraint("job_id", "channel", "user_id"),
        sa.Index("ix_askings_message", "channel", "chat_id", "message_id"),
        sa.Index("ix_askings_user", "channel", "user_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = numbered()
    job_id: Mapped[int] = mapped_column(sa.ForeignKey("jobs.id", ondelete="CASCADE"))
    channel: Mapped[str]
    chat_id: Mapped[int]
    #: whom it asks
    user_id: Mapped[int]
    #: ours; None: it is being sent
    message_id: Mapped[int | None]
    #: what a reply to it is: dish or text
    wants: Mapped[str] = mapped_column(sa.String(16), default="dish")
    created: Mapped[datetime]


class Run(Base):
    """One training."""

    __tablename__ = "runs"
    __table_args__ = (
        # At most one waits and one is done, whoever asks at whatever moment.
        when("ux_runs_unfinished", "status", where="status IN ('todo', 'doing')", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = numbered()
    recipe: Mapped[str]
    #: who asked for it: "telegram:42", "shell", "schedule"
    actor: Mapped[str] = mapped_column(default="shell")
    #: content hash of the dataset snapshot
    dataset: Mapped[str | None] = mapped_column(sa.String(64))
    #: model version or path trained from
    base: Mapped[str | None]
    status: Mapped[RunStatus] = mapped_column(default=RunStatus.TODO)
    #: what it is at, see `foodcritic.runs`
    stage: Mapped[str] = mapped_column(sa.String(16), default="waiting")
    #: how often it was claimed
    attempts: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    #: proves which claim is the current one (fencing)
    token: Mapped[str | None] = mapped_column(sa.String(32))
    #: until when the trainer owns it
    lease: Mapped[datetime | None]
    #: an administrator asked to stop while it was being done
    cancelling: Mapped[bool] = mapped_column(default=False)
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    #: path of its folder, relative to the home folder
    path: Mapped[str | None]
    error: Mapped[str | None] = mapped_column(sa.Text)
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]


class RunStep(Base):
    """What a run measured at one of its iterations."""

    __tablename__ = "run_steps"

    run_id: Mapped[int] = mapped_column(
        sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    loss: Mapped[float]
    #: learning rate, samples a second, memory, as the trainer reports them
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)


class ModelVersion(Base):
    """A model that serves, served, or might; at most one is live per role."""

    __tablename__ = "model_versions"
    __table_args__ = (
        when("ux_model_versions_live", "role", where="status = 'live'", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = numbered()
    name: Mapped[str] = mapped_column(unique=True)
    #: what it answers: critic or meme
    role: Mapped[str] = mapped_column(sa.String(16), default="critic")
    #: folder, relative to the home folder where it lies in there
    path: Mapped[str]
    #: what its line began with, as configured then: "nano", a folder, or a hub name
    base: Mapped[str | None]
    #: content hash of the folder
    sha256: Mapped[str | None] = mapped_column(sa.String(64))
    status: Mapped[ModelStatus] = mapped_column(default=ModelStatus.CANDIDATE)
    run_id: Mapped[int | None] = mapped_column(sa.ForeignKey("runs.id", ondelete="SET NULL"))
    #: what the gate measured and decided
    report: Mapped[dict[str, Any] | None]
    created: Mapped[datetime]
    #: last made live; the newest retired one is what a rollback returns to
    promoted: Mapped[datetime | None]


class Embedding(Base):
    """What a model's vision encoder makes of a photo; renewed when another model is promoted."""

    __tablename__ = "embeddings"

    sha256: Mapped[str] = mapped_column(
        sa.ForeignKey("photos.sha256", ondelete="CASCADE"), primary_key=True
    )
    #: which encoder, see `foodcritic.memory`
    encoder: Mapped[str] = mapped_column(primary_key=True)
    #: of unit length, float32, little-endian
    vector: Mapped[bytes] = mapped_column(sa.LargeBinary)
