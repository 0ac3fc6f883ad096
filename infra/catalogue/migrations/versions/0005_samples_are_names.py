"""a clip is a name in a corpus; its content is what features, quality and recognised speech are found by

Until here a clip was a content, and all files of equal content were one clip under the name of one of them. Now every file is a
clip. The one whose name the content had keeps label, speaker, split, fold and transcript; what the corpus says of the others was
never stored: they are unlabelled until the corpus is ingested again, which every run does first.

Pseudo-labels and snapshots keep the content beside the name: artifacts made before name clips by their content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
notice = (
    "clips are names from here on, and equal files are samples of their own. Labels, transcripts, model versions, champions and "
    "the audit stay. The next run ingests the corpus again and computes features, adapters, alignments, fusions and their "
    "evaluation anew; the champion predicts as before it does"
)

_REBUILT = ("clips", "media_files", "gold_labels", "transcripts", "pseudo_labels", "snapshot_members")
"""Tables whose keys change: copied aside, made anew (children first), filled from the copies."""
_CHILDREN_FIRST = (
    "media_files", "gold_labels", "transcripts", "pseudo_labels", "snapshot_members", "clips",
)  # fmt: skip
_FACTS = "duration_seconds, has_audio, has_video, width, height"
_MEMBER = "emotion, valence, speaker, split, fold, transcript"


def upgrade() -> None:
    _set_aside()
    _tables_by_name()
    for statement in _UPGRADE:
        op.execute(statement)
    _drop_copies()
    op.execute("ALTER TABLE features RENAME COLUMN clip_id TO content")
    op.execute("ALTER TABLE clip_quality RENAME COLUMN clip_id TO content")


def downgrade() -> None:
    """Of several names of one content the first by name stays; what recognisers heard goes to all corpora with that content."""
    op.execute("ALTER TABLE features RENAME COLUMN content TO clip_id")
    op.execute("ALTER TABLE clip_quality RENAME COLUMN content TO clip_id")
    _set_aside("recognised_speech")
    _tables_by_content()
    for statement in _DOWNGRADE:
        op.execute(statement)
    _drop_copies("recognised_speech")


# A file's name may be that of another one only where the catalogue is behind the corpus: the file that the clip names wins.
_UPGRADE = (
    """
    CREATE TEMPORARY TABLE samples AS
    SELECT corpus_id, name, path, size, mtime_ns, content, is_named FROM (
        SELECT file.corpus_id, file.name, file.path, file.size, file.mtime_ns, file.clip_id AS content,
               CASE WHEN clip.path = file.path THEN 1 ELSE 0 END AS is_named,
               ROW_NUMBER() OVER (
                   PARTITION BY file.corpus_id, file.name
                   ORDER BY CASE WHEN clip.path = file.path THEN 0 ELSE 1 END, file.path
               ) AS place
        FROM old_media_files file
        JOIN old_clips clip ON clip.corpus_id = file.corpus_id AND clip.clip_id = file.clip_id
    ) ranked WHERE place = 1
    """,
    f"""
    INSERT INTO clips (corpus_id, name, content, path, {_FACTS}, speaker, split, fold)
    SELECT sample.corpus_id, sample.name, sample.content, sample.path, {_FACTS},
           CASE WHEN sample.is_named = 1 THEN clip.speaker END,
           CASE WHEN sample.is_named = 1 THEN clip.split ELSE 'unlabelled' END,
           CASE WHEN sample.is_named = 1 THEN clip.fold END
    FROM samples sample
    JOIN old_clips clip ON clip.corpus_id = sample.corpus_id AND clip.clip_id = sample.content
    """,
    # A clip whose files are gone keeps what is known of it, unless another clip has its name by now.
    f"""
    INSERT INTO clips (corpus_id, name, content, path, {_FACTS}, speaker, split, fold)
    SELECT corpus_id, name, clip_id, path, {_FACTS}, speaker, split, fold FROM (
        SELECT clip.*, ROW_NUMBER() OVER (PARTITION BY clip.corpus_id, clip.name ORDER BY clip.clip_id) AS place
        FROM old_clips clip
        WHERE NOT EXISTS (
            SELECT 1 FROM clips known WHERE known.corpus_id = clip.corpus_id AND known.name = clip.name
        )
    ) gone WHERE place = 1
    """,
    """
    INSERT INTO media_files (corpus_id, path, name, size, mtime_ns, content)
    SELECT corpus_id, path, name, size, mtime_ns, content FROM samples
    """,
    """
    INSERT INTO gold_labels (corpus_id, name, emotion, valence)
    SELECT label.corpus_id, clip.name, label.emotion, label.valence
    FROM old_gold_labels label
    JOIN old_clips clip ON clip.corpus_id = label.corpus_id AND clip.clip_id = label.clip_id
    JOIN clips known ON known.corpus_id = clip.corpus_id AND known.name = clip.name AND known.content = clip.clip_id
    """,
    """
    INSERT INTO transcripts (corpus_id, name, text)
    SELECT said.corpus_id, clip.name, said.text
    FROM old_transcripts said
    JOIN old_clips clip ON clip.corpus_id = said.corpus_id AND clip.clip_id = said.clip_id
    JOIN clips known ON known.corpus_id = clip.corpus_id AND known.name = clip.name AND known.content = clip.clip_id
    WHERE said.source = 'corpus'
    """,
    """
    INSERT INTO recognised_speech (content, recogniser, text)
    SELECT clip_id, source, MIN(text) FROM old_transcripts WHERE source <> 'corpus' GROUP BY clip_id, source
    """,
    """
    INSERT INTO pseudo_labels (generation_id, name, content, emotion, confidence, valence)
    SELECT generation_id, CASE WHEN place = 1 THEN name ELSE content END, content, emotion, confidence, valence FROM (
        SELECT label.generation_id, COALESCE(clip.name, label.clip_id) AS name, label.clip_id AS content,
               label.emotion, label.confidence, label.valence,
               ROW_NUMBER() OVER (
                   PARTITION BY label.generation_id, COALESCE(clip.name, label.clip_id) ORDER BY label.clip_id
               ) AS place
        FROM old_pseudo_labels label
        JOIN generations generation ON generation.id = label.generation_id
        LEFT JOIN old_clips clip ON clip.corpus_id = generation.corpus_id AND clip.clip_id = label.clip_id
    ) ranked
    """,
    f"""
    INSERT INTO snapshot_members (snapshot_id, name, content, {_MEMBER})
    SELECT snapshot_id, CASE WHEN place = 1 THEN name ELSE content END, content, {_MEMBER} FROM (
        SELECT member.snapshot_id, COALESCE(clip.name, member.clip_id) AS name, member.clip_id AS content,
               member.emotion, member.valence, member.speaker, member.split, member.fold, member.transcript,
               ROW_NUMBER() OVER (
                   PARTITION BY member.snapshot_id, COALESCE(clip.name, member.clip_id) ORDER BY member.clip_id
               ) AS place
        FROM old_snapshot_members member
        JOIN snapshots snapshot ON snapshot.id = member.snapshot_id
        LEFT JOIN old_clips clip ON clip.corpus_id = snapshot.corpus_id AND clip.clip_id = member.clip_id
    ) ranked
    """,
    "DROP TABLE samples",
)

_FIRST = """(
    SELECT clip.*, ROW_NUMBER() OVER (
        PARTITION BY clip.corpus_id, clip.content
        ORDER BY CASE WHEN file.path IS NULL THEN 1 ELSE 0 END, clip.name
    ) AS place
    FROM old_clips clip
    LEFT JOIN old_media_files file
        ON file.corpus_id = clip.corpus_id AND file.path = clip.path AND file.name = clip.name
)"""
_DOWNGRADE = (
    f"""
    INSERT INTO clips (corpus_id, clip_id, name, path, {_FACTS}, speaker, split, fold)
    SELECT corpus_id, content, name, path, {_FACTS}, speaker, split, fold FROM {_FIRST} ranked WHERE place = 1
    """,
    """
    INSERT INTO media_files (corpus_id, path, name, size, mtime_ns, clip_id)
    SELECT file.corpus_id, file.path, file.name, file.size, file.mtime_ns, file.content
    FROM old_media_files file
    JOIN clips known ON known.corpus_id = file.corpus_id AND known.clip_id = file.content
    """,
    """
    INSERT INTO gold_labels (corpus_id, clip_id, emotion, valence)
    SELECT label.corpus_id, known.clip_id, label.emotion, label.valence
    FROM old_gold_labels label
    JOIN clips known ON known.corpus_id = label.corpus_id AND known.name = label.name
    """,
    """
    INSERT INTO transcripts (corpus_id, clip_id, source, text)
    SELECT said.corpus_id, known.clip_id, 'corpus', said.text
    FROM old_transcripts said
    JOIN clips known ON known.corpus_id = said.corpus_id AND known.name = said.name
    """,
    """
    INSERT INTO transcripts (corpus_id, clip_id, source, text)
    SELECT known.corpus_id, known.clip_id, heard.recogniser, heard.text
    FROM old_recognised_speech heard
    JOIN clips known ON known.clip_id = heard.content
    """,
    """
    INSERT INTO pseudo_labels (generation_id, clip_id, emotion, confidence, valence)
    SELECT generation_id, content, emotion, confidence, valence FROM (
        SELECT label.*, ROW_NUMBER() OVER (PARTITION BY generation_id, content ORDER BY name) AS place
        FROM old_pseudo_labels label
    ) ranked WHERE place = 1
    """,
    f"""
    INSERT INTO snapshot_members (snapshot_id, clip_id, {_MEMBER})
    SELECT snapshot_id, content, {_MEMBER} FROM (
        SELECT member.*, ROW_NUMBER() OVER (PARTITION BY snapshot_id, content ORDER BY name) AS place
        FROM old_snapshot_members member
    ) ranked WHERE place = 1
    """,
)


def _set_aside(*more: str) -> None:
    for table in (*_REBUILT, *more):
        op.execute(f"CREATE TEMPORARY TABLE old_{table} AS SELECT * FROM {table}")
    for table in (*_CHILDREN_FIRST, *more):
        op.drop_table(table)


def _drop_copies(*more: str) -> None:
    for table in (*_REBUILT, *more):
        op.execute(f"DROP TABLE old_{table}")


def _tables_by_name() -> None:
    _clips(_name(), _content(), key=("corpus_id", "name"))
    op.create_index("ix_clips_corpus_id_content", "clips", ["corpus_id", "content"])
    _media_files(_name(), _content(), parent="name")
    _gold_labels(_name(), parent="name")
    _of_a_clip("transcripts", "name", _name(), sa.Column("text", sa.Text(), nullable=False))
    op.create_table(
        "recognised_speech",
        _content(),
        sa.Column("recogniser", sa.String(500), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("content", "recogniser", name="pk_recognised_speech"),
    )
    _pseudo_labels(_name(), _content(), key="name")
    _snapshot_members(_name(), _content(), key="name")


def _tables_by_content() -> None:
    _clips(_content("clip_id"), _name(), key=("corpus_id", "clip_id"))
    _media_files(_name(), _content("clip_id"), parent="clip_id")
    _gold_labels(_content("clip_id"), parent="clip_id")
    source, text = (
        sa.Column("source", sa.String(500), nullable=False), sa.Column("text", sa.Text(), nullable=False),
    )  # fmt: skip
    _of_a_clip("transcripts", "clip_id", _content("clip_id"), source, text, key=("source",))
    _pseudo_labels(_content("clip_id"), key="clip_id")
    _snapshot_members(_content("clip_id"), key="clip_id")


def _name() -> sa.Column[str]:
    return sa.Column("name", sa.Text(), nullable=False)


def _content(name: str = "content") -> sa.Column[str]:
    return sa.Column(name, sa.String(64), nullable=False)


def _clips(*identity: sa.Column[str], key: Sequence[str]) -> None:
    op.create_table(
        "clips",
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        *identity,
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("duration_seconds", sa.Float(), nullable=True),
        sa.Column("has_audio", sa.Boolean(), nullable=False),
        sa.Column("has_video", sa.Boolean(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("speaker", sa.Text(), nullable=True),
        sa.Column("split", sa.String(20), nullable=False),
        sa.Column("fold", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["corpus_id"], ["corpora.id"], name="fk_clips_corpus_id"),
        sa.PrimaryKeyConstraint(*key, name="pk_clips"),
    )


def _media_files(*identity: sa.Column[str], parent: str) -> None:
    columns: list[sa.Column[Any]] = [
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
    ]
    _of_a_clip("media_files", parent, *columns, *identity, key=("path",), keyed_by_parent=False)
    op.create_index(f"ix_media_files_corpus_id_{parent}", "media_files", ["corpus_id", parent])


def _gold_labels(identity: sa.Column[str], parent: str) -> None:
    columns: list[sa.Column[Any]] = [
        sa.Column("emotion", sa.String(50), nullable=True),
        sa.Column("valence", sa.Float(), nullable=True),
    ]
    _of_a_clip("gold_labels", parent, identity, *columns)


def _of_a_clip(
    table: str, parent: str, *columns: sa.Column[Any], key: Sequence[str] = (), keyed_by_parent: bool = True
) -> None:
    """A table whose rows belong to clips, which are told by corpus and `parent`."""
    keys = ["corpus_id", *([parent] if keyed_by_parent else []), *key]
    op.create_table(
        table,
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["corpus_id", parent],
            ["clips.corpus_id", f"clips.{parent}"],
            name=f"fk_{table}_corpus_id_{parent}",
        ),
        sa.PrimaryKeyConstraint(*keys, name=f"pk_{table}"),
    )


def _pseudo_labels(*identity: sa.Column[str], key: str) -> None:
    op.create_table(
        "pseudo_labels",
        sa.Column("generation_id", sa.Integer(), nullable=False),
        *identity,
        sa.Column("emotion", sa.String(50), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("valence", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["generation_id"], ["generations.id"], name="fk_pseudo_labels_generation_id"),
        sa.PrimaryKeyConstraint("generation_id", key, name="pk_pseudo_labels"),
    )


def _snapshot_members(*identity: sa.Column[str], key: str) -> None:
    op.create_table(
        "snapshot_members",
        sa.Column("snapshot_id", sa.String(64), nullable=False),
        *identity,
        sa.Column("emotion", sa.String(50), nullable=True),
        sa.Column("valence", sa.Float(), nullable=True),
        sa.Column("speaker", sa.Text(), nullable=True),
        sa.Column("split", sa.String(20), nullable=False),
        sa.Column("fold", sa.Integer(), nullable=True),
        sa.Column("transcript", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name="fk_snapshot_members_snapshot_id"),
        sa.PrimaryKeyConstraint("snapshot_id", key, name="pk_snapshot_members"),
    )
