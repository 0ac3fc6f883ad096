"""when artifacts and snapshots were used last, and which versions retention gave up"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COLUMNS = (("artifacts", "used_at"), ("snapshots", "used_at"), ("model_versions", "retired_at"))


def upgrade() -> None:
    """What is there counts as used now: when it was used is not known, and nothing may be lost for that."""
    for table, column in _COLUMNS:
        op.add_column(table, sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    for table in ("artifacts", "snapshots"):
        op.execute(f"UPDATE {table} SET used_at = CURRENT_TIMESTAMP")


def downgrade() -> None:
    for table, column in _COLUMNS:
        op.drop_column(table, column)
