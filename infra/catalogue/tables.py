"""The catalogue's schema (SQLAlchemy 2, typed). Rows of these classes never leave the package.

A clip is a name within a corpus; its content (sha256 of its media) is what features, quality and recognised speech are found
by, so that equal files cost once. `media_files` says what lies under which path, so a rescan need not hash again. Changes of this
schema come with a migration.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.catalogue.utc_time import UtcTime, utc_now

Content = String(64)
"""sha256 (hex)."""


class Base(DeclarativeBase):
    """Naming convention: SQLite cannot alter unnamed constraints."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Corpus(Base):
    """A folder of clips with one emotion set."""

    __tablename__ = "corpora"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    root: Mapped[str] = mapped_column(Text)
    format: Mapped[str] = mapped_column(String(50))
    emotions: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)


class Clip(Base):
    """A sample: a name, as its corpus describes it."""

    __tablename__ = "clips"
    __table_args__ = (Index(None, "corpus_id", "content"),)

    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    content: Mapped[str] = mapped_column(Content)
    path: Mapped[str] = mapped_column(Text)
    duration_seconds: Mapped[float | None] = mapped_column(Float)
    has_audio: Mapped[bool] = mapped_column(Boolean)
    has_video: Mapped[bool] = mapped_column(Boolean)
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    speaker: Mapped[str | None] = mapped_column(Text)
    split: Mapped[str] = mapped_column(String(20))
    part: Mapped[str | None] = mapped_column(Text)
    fold: Mapped[int | None] = mapped_column(Integer)


class MediaFile(Base):
    """A path at which a clip lies, with what tells a change without hashing."""

    __tablename__ = "media_files"
    __table_args__ = (
        ForeignKeyConstraint(["corpus_id", "name"], ["clips.corpus_id", "clips.name"]),
        Index(None, "corpus_id", "name"),
    )

    corpus_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    path: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[str] = mapped_column(Content)


class Transcript(Base):
    """What is said in a clip, by its corpus."""

    __tablename__ = "transcripts"
    __table_args__ = (ForeignKeyConstraint(["corpus_id", "name"], ["clips.corpus_id", "clips.name"]),)

    corpus_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class RecognisedSpeech(Base):
    """What a recogniser heard; of the content alone, so of no corpus."""

    __tablename__ = "recognised_speech"

    content: Mapped[str] = mapped_column(Content, primary_key=True)
    recogniser: Mapped[str] = mapped_column(String(500), primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class GoldLabel(Base):
    """The corpus owner's label."""

    __tablename__ = "gold_labels"
    __table_args__ = (ForeignKeyConstraint(["corpus_id", "name"], ["clips.corpus_id", "clips.name"]),)

    corpus_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    emotion: Mapped[str | None] = mapped_column(String(50))
    valence: Mapped[float | None] = mapped_column(Float)


class Quarantine(Base):
    """A file set aside, with the reason code."""

    __tablename__ = "quarantine"

    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id"), primary_key=True)
    path: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(String(50))
    detail: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)


class Generation(Base):
    """Pseudo-labels of one batch: who voted under which policy, how that was judged, and whether they are trained on."""

    __tablename__ = "generations"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id"))
    artifact: Mapped[dict[str, Any]] = mapped_column(JSON)
    policy: Mapped[dict[str, Any]] = mapped_column(JSON)
    counts: Mapped[dict[str, int]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcTime)
    recipe: Mapped[str] = mapped_column(String(200))
    round: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)
    membership: Mapped[str] = mapped_column(String(64))
    selections: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    voters: Mapped[dict[str, str] | None] = mapped_column(JSON)
    thresholds: Mapped[dict[str, float | None] | None] = mapped_column(JSON)
    precision: Mapped[dict[str, list[int]] | None] = mapped_column(JSON)
    findings: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)


class PseudoLabel(Base):
    """A model's label of an unlabelled clip."""

    __tablename__ = "pseudo_labels"

    generation_id: Mapped[int] = mapped_column(ForeignKey("generations.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    content: Mapped[str] = mapped_column(Content)
    """What lay under the name when it was voted on."""
    emotion: Mapped[str] = mapped_column(String(50))
    confidence: Mapped[float] = mapped_column(Float)
    valence: Mapped[float | None] = mapped_column(Float)


class Artifact(Base):
    """A committed artifact and what made it (the store's manifest is the authority on its existence)."""

    __tablename__ = "artifacts"

    kind: Mapped[str] = mapped_column(String(100), primary_key=True)
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    meta: Mapped[dict[str, Any]] = mapped_column(JSON)
    stage: Mapped[str] = mapped_column(String(100))
    code_version: Mapped[str] = mapped_column(String(100))
    libraries: Mapped[dict[str, str] | None] = mapped_column(JSON)
    """Distribution -> version of what computed it; None of artifacts recorded before this was."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)
    used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When a stage looked it up last, to the day; None: not since it was made."""


class ClipQuality(Base):
    """How good a clip's media are; of the content alone, so of no corpus."""

    __tablename__ = "clip_quality"

    content: Mapped[str] = mapped_column(Content, primary_key=True)
    method: Mapped[str] = mapped_column(String(100), primary_key=True)
    """Version of the measurement and the face detector: values of another method are measured beside these."""
    duration_seconds: Mapped[float] = mapped_column(Float)
    speech_seconds: Mapped[float | None] = mapped_column(Float)
    snr_db: Mapped[float | None] = mapped_column(Float)
    face_share: Mapped[float | None] = mapped_column(Float)
    brightness: Mapped[float | None] = mapped_column(Float)


class FeatureShard(Base):
    """An artifact with the features of some hundreds of clips."""

    __tablename__ = "feature_shards"
    __table_args__ = (UniqueConstraint("feature_key", "artifact_key"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    feature_key: Mapped[str] = mapped_column(String(64))
    artifact_key: Mapped[str] = mapped_column(String(100), index=True)
    artifact: Mapped[dict[str, Any]] = mapped_column(JSON)


class Feature(Base):
    """In which shard the features of a content lie."""

    __tablename__ = "features"

    feature_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    content: Mapped[str] = mapped_column(Content, primary_key=True)
    shard_id: Mapped[int] = mapped_column(ForeignKey("feature_shards.id"), index=True)


class Snapshot(Base):
    """A data set as it was at one moment; its id is the hash of its members."""

    __tablename__ = "snapshots"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id"))
    clip_count: Mapped[int] = mapped_column(Integer)
    labelled_count: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)
    used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When a run took it last, to the day; None: not since it was made."""


class SnapshotMember(Base):
    """A clip of a snapshot with the labels it had then."""

    __tablename__ = "snapshot_members"

    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshots.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    content: Mapped[str] = mapped_column(Content)
    emotion: Mapped[str | None] = mapped_column(String(50))
    valence: Mapped[float | None] = mapped_column(Float)
    speaker: Mapped[str | None] = mapped_column(Text)
    split: Mapped[str] = mapped_column(String(20))
    part: Mapped[str | None] = mapped_column(Text)
    fold: Mapped[int | None] = mapped_column(Integer)
    transcript: Mapped[str | None] = mapped_column(Text)
    votes: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    """[emotion, share] of the votes, where a recipe learns their distribution."""
    label_source: Mapped[str | None] = mapped_column(String(20))
    """`review` where the label is a reviewer's; None: the corpus owner's."""


class Model(Base):
    """A line of model versions; the row is locked while a version or alias changes."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    latest_version: Mapped[int] = mapped_column(Integer)


class ModelVersion(Base):
    """A complete model."""

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("name", "idempotency_key"),)

    name: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    artifact: Mapped[dict[str, Any]] = mapped_column(JSON)
    evaluation: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    snapshot_id: Mapped[str | None] = mapped_column(ForeignKey("snapshots.id"))
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON)
    idempotency_key: Mapped[str] = mapped_column(String(200))
    registration: Mapped[int | None] = mapped_column(BigInteger)
    """Grows over all models: which was registered later, whatever the clock said."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)
    retired_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When its artifacts were given up to retention; None: they are kept."""
    origin: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    """Commit, run, recipe and corpus that it comes from."""


class ModelAlias(Base):
    """Which version `champion` or `challenger` is."""

    __tablename__ = "model_aliases"
    __table_args__ = (
        ForeignKeyConstraint(["name", "version"], ["model_versions.name", "model_versions.version"]),
    )

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    alias: Mapped[str] = mapped_column(String(50), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)


class Promotion(Base):
    """Audit: every change of an alias, and what was asked and answered about approval, written in the same transaction."""

    __tablename__ = "promotions"
    __table_args__ = (
        ForeignKeyConstraint(["name", "version"], ["model_versions.name", "model_versions.version"]),
        UniqueConstraint("name", "alias", "idempotency_key"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    alias: Mapped[str] = mapped_column(String(50))
    version: Mapped[int] = mapped_column(Integer)
    previous_version: Mapped[int | None] = mapped_column(Integer)
    champion_version: Mapped[int | None] = mapped_column(Integer)
    """Champion at that moment, before the change."""
    action: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)
    evidence: Mapped[str | None] = mapped_column(Text)
    fencing_token: Mapped[int | None] = mapped_column(BigInteger)
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)
    actor: Mapped[str | None] = mapped_column(Text)
    """Who decided; None: decided before that was noted."""
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Of a version that waits for approval (alias `approval`): until when."""


class Lease(Base):
    """Who may write, until when; `token` grows with every acquisition of any lease."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    holder: Mapped[str] = mapped_column(String(200))
    token: Mapped[int] = mapped_column(BigInteger, unique=True)
    expires_at: Mapped[float] = mapped_column(Float)
    """Seconds since the boot `boot` of its holder's machine (0: released)."""
    boot: Mapped[str | None] = mapped_column(String(64))
    """None where the holder's system does not name its boots, and of leases older than this column."""
    process: Mapped[str | None] = mapped_column(String(200))
    """The holder, as `infra.machine` names processes."""
    beat: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Grows with every renewal."""
    ttl_seconds: Mapped[float | None] = mapped_column(Float)
    """How long it lives without being renewed."""


class StoreIdentity(Base):
    """The object store that the artifacts of this catalogue lie in: one row."""

    __tablename__ = "store_identity"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(String(32))
    """Random (hex); the same as in the store's object."""
    address: Mapped[str] = mapped_column(Text)
    """Where the store was when the two met, for messages; it may have moved since."""
    is_in_store: Mapped[bool] = mapped_column(Boolean)
    """False until the store's object is known to be written: only then does its absence say that this is another store."""


class RunProcess(Base):
    """A process that executes a flow run, recorded before the run is shown as running and removed when its end is recorded."""

    __tablename__ = "run_processes"

    key: Mapped[str] = mapped_column(String(32), primary_key=True)
    flow: Mapped[str] = mapped_column(String(100))
    host: Mapped[str] = mapped_column(Text)
    process: Mapped[str] = mapped_column(String(200), index=True)
    """As `infra.machine` names processes."""
    server: Mapped[str] = mapped_column(Text)
    """API of the Prefect server that it reports to, without user."""
    flow_run: Mapped[str | None] = mapped_column(String(36))
    tracked_run: Mapped[str | None] = mapped_column(Text)
    beat: Mapped[int] = mapped_column(BigInteger)
    unrecorded: Mapped[bool] = mapped_column(Boolean)
    started_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)
