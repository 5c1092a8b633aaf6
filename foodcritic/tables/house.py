"""The tables of what administrators do: announcements, bans, switches, and the record of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from foodcritic.columns import Base, BroadcastStatus, LetterStatus, numbered, owner, when


class Broadcast(Base):
    """An administrator's announcement to everybody who talks to us in private."""

    __tablename__ = "broadcasts"
    __table_args__ = (
        owner("chats", "chat_id"),
        when("ix_broadcasts_sending", "channel", "id", where="status = 'sending'"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = numbered()
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
        owner("chats", "chat_id"),
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

    id: Mapped[int] = numbered()
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
