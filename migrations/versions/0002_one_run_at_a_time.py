"""Let one run be trained at a time, and keep what it measured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "run_steps",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("loss", sa.Float(), nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_run_steps_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "step", name=op.f("pk_run_steps")),
    )
    with op.batch_alter_table("model_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("base", sa.String(), nullable=True))

    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("actor", sa.String(), nullable=False, server_default="shell"))
        batch_op.add_column(
            sa.Column("stage", sa.String(length=16), nullable=False, server_default="waiting")
        )
        batch_op.add_column(
            sa.Column("attempts", sa.BigInteger(), nullable=False, server_default="0")
        )
        batch_op.add_column(sa.Column("worker", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("token", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("lease", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column("cancelling", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.create_index(
            "ux_runs_unfinished",
            ["status"],
            unique=True,
            sqlite_where=sa.text("status IN ('todo', 'doing')"),
            postgresql_where=sa.text("status IN ('todo', 'doing')"),
        )


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_index(
            "ux_runs_unfinished",
            sqlite_where=sa.text("status IN ('todo', 'doing')"),
            postgresql_where=sa.text("status IN ('todo', 'doing')"),
        )
        batch_op.drop_column("cancelling")
        batch_op.drop_column("lease")
        batch_op.drop_column("token")
        batch_op.drop_column("worker")
        batch_op.drop_column("attempts")
        batch_op.drop_column("stage")
        batch_op.drop_column("actor")

    with op.batch_alter_table("model_versions", schema=None) as batch_op:
        batch_op.drop_column("base")

    op.drop_table("run_steps")
