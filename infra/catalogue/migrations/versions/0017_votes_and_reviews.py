"""votes of annotators, reviews and who is at which clip; what labels of a snapshot rest on"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "label_votes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=True),
        sa.Column("emotion", sa.String(length=50), nullable=True),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("valence", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpora.id"], name="fk_label_votes_corpus_id"),
        sa.PrimaryKeyConstraint("id", name="pk_label_votes"),
    )
    op.create_index("ix_label_votes_corpus_id_name", "label_votes", ["corpus_id", "name"])
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("annotator", sa.String(length=200), nullable=False),
        sa.Column("decision", sa.String(length=20), nullable=False),
        sa.Column("weights", sa.JSON(), nullable=False),
        sa.Column("owner_emotion", sa.String(length=50), nullable=True),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpora.id"], name="fk_reviews_corpus_id"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.UniqueConstraint("key", name="uq_reviews_key"),
    )
    op.create_index("ix_reviews_corpus_id_name", "reviews", ["corpus_id", "name"])
    op.create_table(
        "review_claims",
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("annotator", sa.String(length=200), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpora.id"], name="fk_review_claims_corpus_id"),
        sa.PrimaryKeyConstraint("corpus_id", "name", name="pk_review_claims"),
    )
    op.add_column("snapshot_members", sa.Column("votes", sa.JSON(), nullable=True))
    op.add_column("snapshot_members", sa.Column("label_source", sa.String(length=20), nullable=True))


def downgrade() -> None:
    op.drop_column("snapshot_members", "label_source")
    op.drop_column("snapshot_members", "votes")
    op.drop_table("review_claims")
    op.drop_index("ix_reviews_corpus_id_name", "reviews")
    op.drop_table("reviews")
    op.drop_index("ix_label_votes_corpus_id_name", "label_votes")
    op.drop_table("label_votes")
