"""tasks wait for workers of a pool, and say who finished them on what and for how long"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_CPU = "mer-cpu"


def upgrade() -> None:
    """Rows of these tables live for as long as a run: what waits now is of a run of the older code, which ends with it."""
    for name in ("pools", "device"):
        op.add_column(
            "task_processes", sa.Column(name, sa.String(length=100), nullable=False, server_default="")
        )
    op.add_column(
        "queued_tasks", sa.Column("pool", sa.String(length=50), nullable=False, server_default=_CPU)
    )
    op.add_column("queued_tasks", sa.Column("ran_on", sa.String(length=200), nullable=True))
    op.add_column("queued_tasks", sa.Column("device", sa.String(length=100), nullable=True))
    op.add_column("queued_tasks", sa.Column("seconds", sa.Float(), nullable=True))


def downgrade() -> None:
    for name in ("seconds", "device", "ran_on", "pool"):
        op.drop_column("queued_tasks", name)
    for name in ("device", "pools"):
        op.drop_column("task_processes", name)
