"""tasks for workers wait in the catalogue, beside who is alive"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "task_processes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_task_processes"),
    )
    op.create_table(
        "queued_tasks",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("flow", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("worker", sa.String(length=36), nullable=True),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_queued_tasks"),
        sa.UniqueConstraint("id", name="uq_queued_tasks_id"),
    )
    op.create_index("ix_queued_tasks_flow", "queued_tasks", ["flow"])
    op.create_index("ix_queued_tasks_worker", "queued_tasks", ["worker"])


def downgrade() -> None:
    op.drop_table("queued_tasks")
    op.drop_table("task_processes")
