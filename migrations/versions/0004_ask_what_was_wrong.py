"""Remember which message asks whom what was wrong with an answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "askings",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("wants", sa.String(length=16), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                ["channel", f"{owner}_id"],
                [f"{owner}s.channel", f"{owner}s.id"],
                name=op.f(f"fk_askings_channel_{owner}_id"),
                onupdate="CASCADE",
                ondelete="CASCADE",
            )
            for owner in ("user", "chat")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_askings_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_askings")),
        sa.UniqueConstraint(
            "job_id", "channel", "user_id", name=op.f("uq_askings_job_id_channel_user_id")
        ),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("askings", schema=None) as batch_op:
        batch_op.create_index("ix_askings_message", ["channel", "chat_id", "message_id"])
        batch_op.create_index("ix_askings_user", ["channel", "user_id"])


def downgrade() -> None:
    """Take it back."""
    op.drop_table("askings")
