"""measurements of a content by several methods stand side by side"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_VALUES = "method, duration_seconds, speech_seconds, snr_db, face_share, brightness"


def upgrade() -> None:
    _rebuild("content", "method")


def downgrade() -> None:
    """Of several methods the last by name stays."""
    op.execute(
        "DELETE FROM clip_quality WHERE method <> "
        "(SELECT MAX(other.method) FROM clip_quality other WHERE other.content = clip_quality.content)"
    )
    _rebuild("content")


def _rebuild(*key: str) -> None:
    op.execute("CREATE TEMPORARY TABLE old_clip_quality AS SELECT * FROM clip_quality")
    op.drop_table("clip_quality")
    op.create_table(
        "clip_quality",
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=100), nullable=False),
        sa.Column("duration_seconds", sa.Float(), nullable=False),
        sa.Column("speech_seconds", sa.Float(), nullable=True),
        sa.Column("snr_db", sa.Float(), nullable=True),
        sa.Column("face_share", sa.Float(), nullable=True),
        sa.Column("brightness", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint(*key, name="pk_clip_quality"),
    )
    op.execute(
        f"INSERT INTO clip_quality (content, {_VALUES}) SELECT content, {_VALUES} FROM old_clip_quality"
    )
    op.execute("DROP TABLE old_clip_quality")
