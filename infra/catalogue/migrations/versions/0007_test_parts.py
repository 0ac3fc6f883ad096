"""named parts of a test split, whose scores stay apart"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("clips", "snapshot_members")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("part", sa.Text(), nullable=True))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "part")
