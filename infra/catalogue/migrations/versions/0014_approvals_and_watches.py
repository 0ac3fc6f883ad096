"""who decided on a version and until when a decision is waited for; where a version comes from; what a watch has started"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Who made the decisions that there are is not known: it stays so."""
    op.add_column("promotions", sa.Column("actor", sa.Text(), nullable=True))
    op.add_column("promotions", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("model_versions", sa.Column("origin", sa.JSON(), nullable=True))
    op.create_table(
        "watch_batches",
        sa.Column("watch", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("clips", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("watch", "number", name="pk_watch_batches"),
    )
    op.create_table(
        "watched_contents",
        sa.Column("watch", sa.String(length=64), nullable=False),
        sa.Column("content", sa.String(length=100), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("watch", "content", name="pk_watched_contents"),
    )


def downgrade() -> None:
    op.drop_table("watched_contents")
    op.drop_table("watch_batches")
    op.drop_column("model_versions", "origin")
    op.drop_column("promotions", "expires_at")
    op.drop_column("promotions", "actor")
