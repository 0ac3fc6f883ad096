"""What the catalogue's tables hold of feature shards, for tests that look on from outside."""

from __future__ import annotations

from sqlalchemy import select

from infra.artifacts import ArtifactRef
from infra.catalogue.database import Database
from infra.catalogue.tables import FeatureShard
from infra.settings import Settings


def registered_shards(settings: Settings) -> list[tuple[str, ArtifactRef]]:
    """(feature key, shard) of every shard that is registered."""
    database = Database(settings.database_url.get_secret_value(), timeout_seconds=30)
    try:
        with database.reading() as connection:
            rows = connection.execute(select(FeatureShard.feature_key, FeatureShard.artifact)).all()
    finally:
        database.close()
    return [(key, ArtifactRef.model_validate(shard)) for key, shard in rows]
