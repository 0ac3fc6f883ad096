"""quality columns of clips"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "clip_quality",
        sa.Column("clip_id", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=100), nullable=False),
        sa.Column("duration_seconds", sa.Float(), nullable=False),
        sa.Column("speech_seconds", sa.Float(), nullable=True),
        sa.Column("snr_db", sa.Float(), nullable=True),
        sa.Column("face_share", sa.Float(), nullable=True),
        sa.Column("brightness", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_clip_quality")),
    )


def downgrade() -> None:
    op.drop_table("clip_quality")
