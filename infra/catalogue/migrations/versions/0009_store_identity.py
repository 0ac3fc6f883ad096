"""a catalogue belongs to one object store; leases by clocks that nobody sets; versions in the order of their registration"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "store_identity",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("identity", sa.String(length=32), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("is_in_store", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_store_identity"),
    )
    op.add_column("leases", sa.Column("boot", sa.String(length=64), nullable=True))
    op.add_column("leases", sa.Column("process", sa.String(length=200), nullable=True))
    op.add_column("leases", sa.Column("beat", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("leases", sa.Column("ttl_seconds", sa.Float(), nullable=True))
    op.add_column("model_versions", sa.Column("registration", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE model_versions SET registration = (SELECT COUNT(*) FROM model_versions other WHERE "
        "other.created_at < model_versions.created_at OR (other.created_at = model_versions.created_at AND "
        "(other.name < model_versions.name OR (other.name = model_versions.name AND other.version <= model_versions.version))))"
    )


def downgrade() -> None:
    op.drop_column("model_versions", "registration")
    for column in ("ttl_seconds", "beat", "process", "boot"):
        op.drop_column("leases", column)
    op.drop_table("store_identity")
