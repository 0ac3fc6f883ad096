"""what processes have counted; whose run a queued task belongs to"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tasks that wait at this moment belong to a run that is not named: their events say none."""
    op.create_table(
        "metric_totals",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("labels", sa.String(length=500), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name="pk_metric_totals"),
    )
    op.add_column("queued_tasks", sa.Column("context", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("queued_tasks", "context")
    op.drop_table("metric_totals")
