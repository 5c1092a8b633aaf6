"""Find the ratings of the last days without reading all there ever were."""

from __future__ import annotations

from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Apply it."""
    op.create_index("ix_feedback_created", "feedback", ["created"])


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_feedback_created", table_name="feedback")
