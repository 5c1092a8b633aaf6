"""Keep announcements, bans, and what photos look like."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "bans",
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_bans")),
    )
    op.create_table(
        "broadcasts",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("entities", JSON, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["channel", "chat_id"],
            ["chats.channel", "chats.id"],
            name=op.f("fk_broadcasts_channel_chat_id"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcasts")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("broadcasts", schema=None) as batch_op:
        batch_op.create_index(
            "ix_broadcasts_sending",
            ["channel", "id"],
            unique=False,
            sqlite_where=sa.text("status = 'sending'"),
            postgresql_where=sa.text("status = 'sending'"),
        )

    op.create_table(
        "embeddings",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("encoder", sa.String(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256"], ["photos.sha256"], name=op.f("fk_embeddings_sha256"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sha256", "encoder", name=op.f("pk_embeddings")),
    )
    op.create_table(
        "letters",
        sa.Column("broadcast_id", KEY, nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["broadcast_id"],
            ["broadcasts.id"],
            name=op.f("fk_letters_broadcast_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["channel", "chat_id"],
            ["chats.channel", "chats.id"],
            name=op.f("fk_letters_channel_chat_id"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("broadcast_id", "chat_id", name=op.f("pk_letters")),
    )
    with op.batch_alter_table("letters", schema=None) as batch_op:
        batch_op.create_index("ix_letters_chat", ["channel", "chat_id"], unique=False)
        batch_op.create_index(
            "ix_letters_status", ["broadcast_id", "status", "chat_id"], unique=False
        )

    with op.batch_alter_table("corrections", schema=None) as batch_op:
        batch_op.create_index("ix_corrections_reviewed", ["status", "reviewed"], unique=False)

    with op.batch_alter_table("photos", schema=None) as batch_op:
        batch_op.add_column(sa.Column("colours", sa.LargeBinary(length=192), nullable=True))

    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.create_index(
            "ix_users_consented",
            ["consented"],
            unique=False,
            sqlite_where=sa.text("consent"),
            postgresql_where=sa.text("consent"),
        )


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_users_consented",
            sqlite_where=sa.text("consent"),
            postgresql_where=sa.text("consent"),
        )

    with op.batch_alter_table("photos", schema=None) as batch_op:
        batch_op.drop_column("colours")

    with op.batch_alter_table("corrections", schema=None) as batch_op:
        batch_op.drop_index("ix_corrections_reviewed")

    with op.batch_alter_table("letters", schema=None) as batch_op:
        batch_op.drop_index("ix_letters_status")
        batch_op.drop_index("ix_letters_chat")

    op.drop_table("letters")
    op.drop_table("embeddings")
    with op.batch_alter_table("broadcasts", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_broadcasts_sending",
            sqlite_where=sa.text("status = 'sending'"),
            postgresql_where=sa.text("status = 'sending'"),
        )

    op.drop_table("broadcasts")
    op.drop_table("bans")
