"""what runs decided on fitting again; shards are found by their artifact"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refits",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("corpus", sa.String(length=200), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("since_version", sa.Integer(), nullable=True),
        sa.Column("fitted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_refits"),
    )
    op.create_index("ix_refits_model_id", "refits", ["model", "id"])
    op.create_index("ix_feature_shards_artifact_key", "feature_shards", ["artifact_key"])


def downgrade() -> None:
    op.drop_index("ix_feature_shards_artifact_key", "feature_shards")
    op.drop_index("ix_refits_model_id", "refits")
    op.drop_table("refits")
