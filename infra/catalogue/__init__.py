"""Catalogue: what there is and how it came about. SQLite (WAL) by default, Postgres by URL."""

from __future__ import annotations

from pydantic import SecretStr

from infra.catalogue.clips import ClipCatalogue
from infra.catalogue.database import Database
from infra.catalogue.features import FeatureCatalogue
from infra.catalogue.labels import LabelCatalogue
from infra.catalogue.leases import Leases
from infra.catalogue.models import ModelCatalogue
from infra.catalogue.records import ArtifactRecords
from infra.catalogue.schema import migrate
from infra.catalogue.snapshots import SnapshotCatalogue

__all__ = ["Catalogue", "open_catalogue"]


class Catalogue:
    """One small class for each concern, over one database. Open one per process; safe among threads."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clips = ClipCatalogue(database)
        self.labels = LabelCatalogue(database)
        self.features = FeatureCatalogue(database)
        self.snapshots = SnapshotCatalogue(database)
        self.records = ArtifactRecords(database)
        self.models = ModelCatalogue(database)
        self.leases = Leases(database)

    def close(self) -> None:
        """Give all connections back."""
        self.database.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_catalogue(url: str | SecretStr, timeout_seconds: float = 30.0) -> Catalogue:
    """Open the catalogue, creating or migrating its schema if needed.

    `timeout_seconds`: longest wait for a lock or a connection.

    Raises:
        SettingsError: not the URL of a supported database.
        CatalogueUnavailable: it does not answer.
        CatalogueError: its schema was written by a newer version of this code.
    """
    database = Database(url.get_secret_value() if isinstance(url, SecretStr) else url, timeout_seconds)
    migrate(database)
    return Catalogue(database)
