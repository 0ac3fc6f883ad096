"""Catalogue: what there is and how it came about. SQLite (WAL) by default, Postgres by URL."""

from __future__ import annotations

from pydantic import SecretStr

from infra.catalogue.approvals import ApprovalCatalogue
from infra.catalogue.clip_pages import ClipPages
from infra.catalogue.clips import ClipCatalogue, ClipRow, ClipUpsert, KnownFile
from infra.catalogue.corpora import CorpusCatalogue, CorpusRow
from infra.catalogue.database import Database, parse_url
from infra.catalogue.features import FeatureCatalogue
from infra.catalogue.identity import IdentityCatalogue, StoreIdentityRow
from infra.catalogue.labels import (
    SET_ASIDE,
    GenerationFacts,
    GenerationRow,
    GenerationState,
    LabelCatalogue,
    PseudoLabelRow,
)
from infra.catalogue.leases import Lease, LeaseCatalogue
from infra.catalogue.metric_counts import CountCatalogue
from infra.catalogue.metric_totals import MetricCatalogue, TotalRow
from infra.catalogue.models import ModelVersionRow, PromotionRow
from infra.catalogue.quality import QualityCatalogue, QualityRow
from infra.catalogue.quarantine import QuarantineCatalogue, QuarantinedFile
from infra.catalogue.records import ArtifactRecord, ArtifactRecords
from infra.catalogue.refits import RefitCatalogue, RefitFacts, RefitRow, SnapshotGrowth
from infra.catalogue.retention import RetentionCatalogue
from infra.catalogue.reviews import ClaimRow, Decision, ReviewCatalogue, ReviewFacts, ReviewRow
from infra.catalogue.run_processes import RunProcessCatalogue, RunProcessRow
from infra.catalogue.schema import migrate
from infra.catalogue.snapshots import SnapshotCatalogue, SnapshotMemberRow, SnapshotRow
from infra.catalogue.task_queue import (
    FinishedTask,
    ProcessRole,
    TakenTask,
    TaskProcessRow,
    TaskQueueCatalogue,
    TaskState,
    WorkDone,
)
from infra.catalogue.uses import UseCatalogue
from infra.catalogue.votes import VoteCatalogue, VoteRow
from infra.catalogue.watches import WatchBatchRow, WatchCatalogue
from infra.settings import Settings
from infra.sqlite_url import sqlite_file

__all__ = [
    "SET_ASIDE",
    "ArtifactRecord",
    "Catalogue",
    "ClaimRow",
    "ClipRow",
    "ClipUpsert",
    "CorpusRow",
    "Decision",
    "FinishedTask",
    "GenerationFacts",
    "GenerationRow",
    "GenerationState",
    "KnownFile",
    "Lease",
    "ModelVersionRow",
    "ProcessRole",
    "PromotionRow",
    "PseudoLabelRow",
    "QualityRow",
    "QuarantinedFile",
    "RefitFacts",
    "RefitRow",
    "ReviewFacts",
    "ReviewRow",
    "RunProcessRow",
    "SnapshotGrowth",
    "SnapshotMemberRow",
    "SnapshotRow",
    "StoreIdentityRow",
    "TakenTask",
    "TaskProcessRow",
    "TaskState",
    "TotalRow",
    "VoteRow",
    "WatchBatchRow",
    "WorkDone",
    "has_catalogue",
    "open_catalogue",
    "open_database",
]


class Catalogue(
    CorpusCatalogue,
    ClipCatalogue,
    ClipPages,
    QuarantineCatalogue,
    LabelCatalogue,
    VoteCatalogue,
    ReviewCatalogue,
    FeatureCatalogue,
    QualityCatalogue,
    SnapshotCatalogue,
    RefitCatalogue,
    ArtifactRecords,
    UseCatalogue,
    ApprovalCatalogue,
    LeaseCatalogue,
    RunProcessCatalogue,
    IdentityCatalogue,
    RetentionCatalogue,
    TaskQueueCatalogue,
    WatchCatalogue,
    MetricCatalogue,
    CountCatalogue,
):
    """All concerns over one database, one module each. Open one per process; safe among threads."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        LeaseCatalogue.__init__(self, database)  # keeps what it has seen, beside the database that all have
        self.database = database

    def close(self) -> None:
        """Give all connections back."""
        self.database.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def has_catalogue(settings: Settings) -> bool:
    """False where the catalogue's file was not made yet; a database server's is made by whoever asks for it."""
    file = sqlite_file(parse_url(settings.database_url.get_secret_value()))
    return file is None or file.exists()


def open_catalogue(where: Settings | SecretStr | str, timeout_seconds: float | None = None) -> Catalogue:
    """Open the catalogue of an installation, or at a database URL, creating or migrating its schema if
    needed.

    `timeout_seconds`: longest wait for a lock or a connection (default: the setting, or 30).

    Raises:
        SettingsError: not the URL of a supported database.
        CatalogueUnavailable: it does not answer.
        CatalogueError: its schema was written by a newer version of this code.
        CatalogueDamaged: what lies there is no catalogue.
        HomeUnusable: this user may not write its file.
    """
    return Catalogue(open_database(where, timeout_seconds))


def open_database(where: Settings | SecretStr | str, timeout_seconds: float | None = None) -> Database:
    """The database of a catalogue with its schema brought up to date: see `open_catalogue`, also for what it raises."""
    backups = None
    if isinstance(where, Settings):
        timeout_seconds, backups = timeout_seconds or where.catalogue_timeout_seconds, where.backup_folder
        where = where.database_url
    url = where.get_secret_value() if isinstance(where, SecretStr) else where
    database = Database(url, timeout_seconds or 30.0, backups)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return database
