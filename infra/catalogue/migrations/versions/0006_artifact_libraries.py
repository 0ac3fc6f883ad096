"""what versions of the computing libraries made an artifact"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("artifacts", sa.Column("libraries", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("artifacts", "libraries")
