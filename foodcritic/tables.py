"""The database's shape: one typed class per table, no relationships, so nothing loads lazily.

    users ─┬─ dialogues ── jobs ── job_photos ── photos
    chats ─┘                 ├── feedback      (rating, one per person and answer)
                             ├── corrections   (a better dish or text, reviewed)
                             └── askings       (our message that asks for one)
    updates (inbox)   model_versions ── runs ── run_steps   embeddings (of photos, by model)
    broadcasts ── letters (one per chat)   bans   audit   switches

People and chats are keyed by the channel they come from and their number there
(``("telegram", 42)``); web and shell sessions draw a random 52-bit number. Enumerations are stored
by value, times as UTC. The queue's indexes are partial: their size is that of the unfinished work,
so a million finished jobs cost a claim nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from foodcritic.columns import (
    ACTIVE,
    FINISHED,
    Base,
    BigId,
    BroadcastStatus,
    JobKind,
    JobStatus,
    LetterStatus,
    ModelStatus,
    ReviewStatus,
    RunStatus,
)

__all__ = [
    "ACTIVE",
    "FINISHED",
    "Base",
    "BroadcastStatus",
    "JobKind",
    "JobStatus",
    "LetterStatus",
    "ModelStatus",
    "ReviewStatus",
    "RunStatus",
]


def _key() -> Mapped[int]:
    return mapped_column(BigId, primary_key=True, autoincrement=True)


def _owner(table: str, column: str) -> sa.ForeignKeyConstraint:
    # A group that becomes a supergroup changes its number: the cascade carries its rows along.
    return sa.ForeignKeyConstraint(
        ["channel", column],
        [f"{table}.channel", f"{table}.id"],
        onupdate="CASCADE",
        ondelete="CASCADE",
    )


def _when(name: str, *columns: str, where: str, unique: bool = False) -> sa.Index:
    """A partial index: it holds only the rows `where` is true of."""
    condition = sa.text(where)
    return sa.Index(
        name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition
    )


class User(Base):
    """A person, on one channel."""

    __tablename__ = "users"
    __table_args__ = (_when("ix_users_consented", "consented", where="consent"),)

    channel: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: what they chose; None: what Telegram says
    language: Mapped[str | None]
    #: may their photos and corrections train the model; None: not asked yet
    consent: Mapped[bool | None]
    consented: Mapped[datetime | None]
    #: own bound on jobs a day; None: the settings'
    quota: Mapped[int | None]
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime]


class Chat(Base):
    """A place where people talk to us."""

    __tablename__ = "chats"

    channel: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: private, group, supergroup, channel; web, shell
    kind: Mapped[str] = mapped_column(default="private")
    #: language, memes, tone, cooldown: what its administrators set
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    #: since when we cannot write there (blocked, kicked); None: we can
    gone: Mapped[datetime | None]
    created: Mapped[datetime]


class Photo(Base):
    """A picture's bytes, stored once as ``media/ab/abcdef….ext``."""

    __tablename__ = "photos"

    sha256: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    #: path relative to the media folder
    path: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    #: perceptual hash, 16 hex digits, once computed
    phash: Mapped[str | None] = mapped_column(sa.String(16), index=True)
    #: 8 x 8 RGB, which confirm the hash, once computed
    colours: Mapped[bytes | None] = mapped_column(sa.LargeBinary(192))
    created: Mapped[datetime]


class Dialogue(Base):
    """A user's session in one chat and topic: the list of its jobs."""

    __tablename__ = "dialogues"
    __table_args__ = (
        _owner("users", "user_id"),
        _owner("chats", "chat_id"),
        _when(
            "ux_dialogues_open",
            *("channel", "chat_id", "thread_id", "user_id"),
            where="ended IS NULL",
            unique=True,
        ),
        sa.Index("ix_dialogues_user", "channel", "user_id"),
        sa.Index("ix_dialogues_chat", "channel", "chat_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = _key()
    channel: Mapped[str]
    chat_id: Mapped[int]
    #: forum topic; 0: none
    thread_id: Mapped[int] = mapped_column(default=0)
    user_id: Mapped[int]
    started: Mapped[datetime]
    ended: Mapped[datetime | None]


class Job(Base):
    """One question and its answer, from the queue to the transcript."""

    __tablename__ = "jobs"
    __table_args__ = (
        _owner("users", "user_id"),
        _owner("chats", "chat_id"),
        _when("ix_jobs_todo", "turn", "id", where="status = 'todo'"),
        _when("ix_jobs_doing", "lease", where="status = 'doing'"),
        _when("ix_jobs_ahead", "dialogue_id", "id", where="status IN ('todo', 'doing')"),
        _when("ix_jobs_outbox", "channel", "id", where="delivered IS NULL"),
        sa.Index("ix_jobs_user", "channel", "user_id", "created"),
        sa.Index("ix_jobs_chat", "channel", "chat_id", "created"),
        sa.Index("ix_jobs_dialogue", "dialogue_id", "id"),
        sa.Index("ix_jobs_finished", "finished"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = _key()
    #: what makes a redelivered request the same job, e.g. ``telegram:<chat>:<message>``
    key: Mapped[str] = mapped_column(unique=True)
    channel: Mapped[str]
    chat_id: Mapped[int]
    thread_id: Mapped[int] = mapped_column(default=0)
    user_id: Mapped[int]
    #: the message it answers, where the channel has such numbers
    message_id: Mapped[int | None]
    dialogue_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("dialogues.id", ondelete="CASCADE")
    )
    kind: Mapped[JobKind]
    lang: Mapped[str] = mapped_column(sa.String(8))
    question: Mapped[str] = mapped_column(sa.Text, default="")
    #: what else the request says: options of a choice, meme style, sampling
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)

    status: Mapped[JobStatus] = mapped_column(default=JobStatus.TODO)
    #: its place in the round-robin over users, see `foodcritic.queue`
    turn: Mapped[int]
    #: how often it was claimed
    attempts: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    #: proves which claim is the current one (fencing)
    token: Mapped[str | None] = mapped_column(sa.String(32))
    #: until when the worker owns it
    lease: Mapped[datetime | None]
    #: its user asked to stop while it was being done
    cancelling: Mapped[bool] = mapped_column(default=False)

    draft: Mapped[str] = mapped_column(sa.Text, default="")
    answer: Mapped[str | None] = mapped_column(sa.Text)
    critique: Mapped[dict[str, Any] | None]
    #: code of the apology, e.g. ``worker_died``; None unless failed
    error: Mapped[str | None] = mapped_column(sa.String(64))
    #: name of the model that answered, or writes the draft
    model: Mapped[str | None]
    #: seconds by stage and what else the worker measured
    timings: Mapped[dict[str, Any]] = mapped_column(default=dict)

    created: Mapped[datetime]
    #: last claimed
    started: Mapped[datetime | None]
    first_token: Mapped[datetime | None]
    finished: Mapped[datetime | None]

    #: when the outcome reached the person; None: it is in the outbox
    delivered: Mapped[datetime | None]
    #: what was sent so far (message ids): how a courier resumes without repeating
    delivery: Mapped[dict[str, Any]] = mapped_column(default=dict)
    courier: Mapped[str | None]
    #: until when the courier owns the delivery; also "not before" after a flood wait
    courier_lease: Mapped[datetime | None]


class JobPhoto(Base):
    """Which photos a job shows, in order."""

    __tablename__ = "job_photos"

    job_id: Mapped[int] = mapped_column(
        sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True)
    sha256: Mapped[str] = mapped_column(sa.ForeignKey("photos.sha256"), index=True)


class Update(Base):
    """The inbox: what a channel sent us, as it came, until it is handled."""

    __tablename__ = "updates"
    __table_args__ = (
        sa.UniqueConstraint("source", "update_id"),
        _when("ix_updates_waiting", "source", "id", where="handled IS NULL"),
        sa.Index("ix_updates_handled", "handled"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = _key()
    #: e.g. ``telegram:<bot id>``
    source: Mapped[str]
    update_id: Mapped[int]
    #: emptied once handled: it holds what people wrote
    payload: Mapped[dict[str, Any] | None]
    received: Mapped[datetime]
    handled: Mapped[datetime | None]
    #: how often handling it was begun
    attempts: Mapped[int] = mapped_column(default=0)
    #: why it was given up
    error: Mapped[str | None]


class Feedback(Base):
    """One person's rating of one answer; a second vote replaces the first."""

    __tablename__ = "feedback"
    __table_args__ = (
        _owner("users", "user_id"),
        sa.UniqueConstraint("job_id", "channel", "user_id"),
        sa.Index("ix_feedback_user", "channel", "user_id"),
        sa.Index("ix_feedback_created", "created"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = _key()
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
        _owner("users", "user_id"),
        sa.Index("ix_corrections_status", "status", "id"),
        sa.Index("ix_corrections_user", "channel", "user_id"),
        sa.Index("ix_corrections_job", "job_id"),
        sa.Index("ix_corrections_reviewed", "status", "reviewed"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = _key()
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
        _owner("users", "user_id"),
        _owner("chats", "chat_id"),
        sa.UniqueConstraint("job_id", "channel", "user_id"),
        sa.Index("ix_askings_message", "channel", "chat_id", "message_id"),
        sa.Index("ix_askings_user", "channel", "user_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = _key()
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
        _when("ux_runs_unfinished", "status", where="status IN ('todo', 'doing')", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = _key()
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
        _when("ux_model_versions_live", "role", where="status = 'live'", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = _key()
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


class Broadcast(Base):
    """An administrator's announcement to everybody who talks to us in private."""

    __tablename__ = "broadcasts"
    __table_args__ = (
        _owner("chats", "chat_id"),
        _when("ix_broadcasts_sending", "channel", "id", where="status = 'sending'"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = _key()
    channel: Mapped[str]
    #: its author's private chat, where they are told how it goes, and in which message
    chat_id: Mapped[int]
    message_id: Mapped[int | None]
    text: Mapped[str] = mapped_column(sa.Text)
    #: how it is set, as the Bot API's MessageEntity
    entities: Mapped[list[Any]] = mapped_column(default=list)
    status: Mapped[BroadcastStatus] = mapped_column(default=BroadcastStatus.DRAFT)
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]


class Letter(Base):
    """One person's copy of an announcement."""

    __tablename__ = "letters"
    __table_args__ = (
        _owner("chats", "chat_id"),
        sa.Index("ix_letters_status", "broadcast_id", "status", "chat_id"),
        sa.Index("ix_letters_chat", "channel", "chat_id"),
    )

    broadcast_id: Mapped[int] = mapped_column(
        sa.ForeignKey("broadcasts.id", ondelete="CASCADE"), primary_key=True
    )
    channel: Mapped[str]
    chat_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[LetterStatus] = mapped_column(default=LetterStatus.TODO)


class Ban(Base):
    """Somebody who is not answered any more."""

    __tablename__ = "bans"

    #: see `foodcritic.pseudonyms`
    person: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    created: Mapped[datetime]


class Audit(Base):
    """What an administrator did."""

    __tablename__ = "audit"
    __table_args__ = (sa.Index("ix_audit_created", "created"), {"sqlite_autoincrement": True})

    id: Mapped[int] = _key()
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str | None]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime]


class Switch(Base):
    """A value every process must see at once: maintenance mode, draining."""

    __tablename__ = "switches"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]
    changed: Mapped[datetime]
