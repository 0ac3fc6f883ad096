"""processes that execute flow runs, so that a dead one's run does not stay running"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_processes",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("flow", sa.String(length=100), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("flow_run", sa.String(length=36), nullable=True),
        sa.Column("tracked_run", sa.Text(), nullable=True),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("unrecorded", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_run_processes"),
    )
    op.create_index("ix_run_processes_process", "run_processes", ["process"])


def downgrade() -> None:
    op.drop_index("ix_run_processes_process", "run_processes")
    op.drop_table("run_processes")
