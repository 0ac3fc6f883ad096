"""Which shard holds the features of a content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, exists, insert, select, update

from infra.artifacts import ArtifactRef
from infra.catalogue.bulk import MOST_NAMED, upsert
from infra.catalogue.clips import has_file
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.tables import Clip, Feature, FeatureShard


class FeatureCatalogue:
    """Shards by feature key (the hash of feature specification, weights and extractor version)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register_features(self, feature_key: str, shard: ArtifactRef, contents: Sequence[str]) -> None:
        """Say that `shard` holds the features of `contents`; replaces what was known of these."""
        same = (FeatureShard.feature_key == feature_key) & (FeatureShard.artifact_key == shard.key)
        artifact = shard.model_dump()
        with self._database.writing() as connection:
            shard_id = connection.scalar(select(FeatureShard.id).where(same))
            if shard_id is None:
                values = {"feature_key": feature_key, "artifact_key": shard.key, "artifact": artifact}
                statement = insert(FeatureShard).values(values).returning(FeatureShard.id)
                shard_id = connection.execute(statement).scalar_one()
            else:
                connection.execute(update(FeatureShard).where(same).values(artifact=artifact))
            rows = [{"feature_key": feature_key, "content": c, "shard_id": shard_id} for c in contents]
            upsert(connection, Feature, rows)

    def features_of(self, feature_key: str, contents: Iterable[str]) -> dict[str, ArtifactRef]:
        """Shard of every content that has features; those without are left out."""
        listed = set(contents)
        shards = select(FeatureShard.id, FeatureShard.artifact).where(FeatureShard.feature_key == feature_key)
        members = select(Feature.content, Feature.shard_id).where(Feature.feature_key == feature_key)
        with self._database.reading() as connection:
            if len(listed) <= MOST_NAMED:
                rows = connection.execute(members.where(Feature.content.in_(listed))).all()
                of_few = shards.where(FeatureShard.id.in_({row.shard_id for row in rows}))
                few = {row.id: ArtifactRef.model_validate(row.artifact) for row in connection.execute(of_few)}
                return {row.content: few[row.shard_id] for row in rows}
            refs = {row.id: ArtifactRef.model_validate(row.artifact) for row in connection.execute(shards)}
            return {
                content: refs[shard_id]
                for content, shard_id in connection.execute(members)
                if content in listed
            }

    def clips_without_features(self, corpus: str, feature_key: str) -> dict[str, str]:
        """Name -> content of the corpus' clips with a file whose content has no features under this key.

        Clips and features are gone through side by side, in the order of contents: each page of both indexes is read once.
        Raises CatalogueError for a corpus that is not catalogued.
        """
        has = exists().where(Feature.feature_key == feature_key, Feature.content == Clip.content)
        with self._database.reading() as connection:
            mine = Clip.corpus_id == corpus_id(connection, corpus)
            query = select(Clip.name, Clip.content).where(mine, ~has, has_file()).order_by(Clip.content)
            return {row.name: row.content for row in connection.execute(query)}

    def feature_shards(self, feature_key: str | None = None) -> list[tuple[str, ArtifactRef]]:
        """(feature key, shard) of every shard that is registered; `feature_key`: of this set, None: of all."""
        query = select(FeatureShard.feature_key, FeatureShard.artifact)
        if feature_key is not None:
            query = query.where(FeatureShard.feature_key == feature_key)
        with self._database.reading() as connection:
            return [(key, ArtifactRef.model_validate(shard)) for key, shard in connection.execute(query)]

    def forget_shard(self, shard: ArtifactRef) -> None:
        """Forget a shard that turned out to be damaged or gone, so that its clips are extracted again."""
        ids = select(FeatureShard.id).where(FeatureShard.artifact_key == shard.key)
        with self._database.writing() as connection:
            connection.execute(delete(Feature).where(Feature.shard_id.in_(ids)))
            connection.execute(delete(FeatureShard).where(FeatureShard.artifact_key == shard.key))
