"""names of recognisers, which may hold a path"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("transcripts") as table:
        table.alter_column(
            "source", existing_type=sa.String(50), type_=sa.String(500), existing_nullable=False
        )


def downgrade() -> None:
    with op.batch_alter_table("transcripts") as table:
        table.alter_column(
            "source", existing_type=sa.String(500), type_=sa.String(50), existing_nullable=False
        )
