"""what a generation of pseudo-labels was voted by, how it was judged, and where it stands"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_JSON = ("selections", "voters", "thresholds", "precision", "findings")


def upgrade() -> None:
    with op.batch_alter_table("generations") as table:
        table.add_column(sa.Column("recipe", sa.String(200), nullable=False, server_default=""))
        table.add_column(sa.Column("round", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("state", sa.String(20), nullable=False, server_default="live"))
        table.add_column(sa.Column("reason", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("membership", sa.String(64), nullable=False, server_default=""))
        for name in _JSON:
            table.add_column(sa.Column(name, sa.JSON(), nullable=True))
    op.execute("UPDATE generations SET state = 'withdrawn' WHERE withdrawn_at IS NOT NULL")


def downgrade() -> None:
    # not as a batch: SQLite would make the table anew, which pseudo-labels refer to
    for name in (*_JSON, "membership", "reason", "state", "round", "recipe"):
        op.drop_column("generations", name)
