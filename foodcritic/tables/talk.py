"""The tables of people and of what they ask: from the inbox to the transcript."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from foodcritic.columns import Base, JobKind, JobStatus, numbered, owner, when


class User(Base):
    """A person, on one channel."""

    __tablename__ = "users"
    __table_args__ = (when("ix_users_consented", "consented", where="consent"),)

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
        owner("users", "user_id"),
        owner("chats", "chat_id"),
        when(
            "ux_dialogues_open",
            *("channel", "chat_id", "thread_id", "user_id"),
            where="ended IS NULL",
            unique=True,
        ),
        sa.Index("ix_dialogues_user", "channel", "user_id"),
        sa.Index("ix_dialogues_chat", "channel", "chat_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = numbered()
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
        owner("users", "user_id"),
        owner("chats", "chat_id"),
        when("ix_jobs_todo", "turn", "id", where="status = 'todo'"),
        when("ix_jobs_doing", "lease", where="status = 'doing'"),
        when("ix_jobs_ahead", "dialogue_id", "id", where="status IN ('todo', 'doing')"),
        when("ix_jobs_outbox", "channel", "id", where="delivered IS NULL"),
        sa.Index("ix_jobs_user", "channel", "user_id", "created"),
        sa.Index("ix_jobs_chat", "channel", "chat_id", "created"),
        sa.Index("ix_jobs_dialogue", "dialogue_id", "id"),
        sa.Index("ix_jobs_finished", "finished"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = numbered()
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
        when("ix_updates_waiting", "source", "id", where="handled IS NULL"),
        sa.Index("ix_updates_handled", "handled"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = numbered()
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
