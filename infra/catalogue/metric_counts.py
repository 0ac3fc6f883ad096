"""Counts of what the catalogue holds now, for whoever watches: a handful of queries that read no row one by one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, select

from infra.catalogue.database import Database
from infra.catalogue.models import CHAMPION
from infra.catalogue.queue_tables import QueuedTask
from infra.catalogue.tables import Clip, Corpus, Generation, ModelAlias, Promotion, Quarantine


@dataclass(frozen=True)
class TaskCount:
    """Tasks of one name in the queue."""

    pool: str
    name: str
    waiting: int
    leased: int
    """Taken by a worker, and not finished."""


@dataclass(frozen=True)
class ChampionSince:
    """What a model serves."""

    model: str
    version: int
    since: datetime


@dataclass(frozen=True)
class LastGeneration:
    """The newest pseudo-labels of a corpus."""

    corpus: str
    state: str
    """Verdict: `live`, `rejected`, `stopped`, `withdrawn`, ..."""
    created_at: datetime


class CountCatalogue:
    """Counts by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def clip_counts(self) -> dict[str, int]:
        """Corpus -> clips. Reads the whole index of clips."""
        clips = select(Clip.corpus_id, func.count().label("clips")).group_by(Clip.corpus_id).subquery()
        query = select(Corpus.name, func.coalesce(clips.c.clips, 0)).outerjoin(
            clips, clips.c.corpus_id == Corpus.id
        )
        return {str(name): int(count) for name, count in self._rows(query)}

    def quarantine_counts(self) -> dict[tuple[str, str], int]:
        """(Corpus, reason code) -> files set aside."""
        query = select(Corpus.name, Quarantine.reason, func.count()).join(
            Quarantine, Quarantine.corpus_id == Corpus.id
        )
        rows = self._rows(query.group_by(Corpus.name, Quarantine.reason))
        return {(str(name), str(reason)): int(count) for name, reason, count in rows}

    def task_counts(self) -> list[TaskCount]:
        """The queue, by pool and task."""
        leased = func.count(QueuedTask.worker)  # rows where it is not NULL
        query = select(QueuedTask.pool, QueuedTask.name, func.count(), leased).where(
            QueuedTask.outcome.is_(None)
        )
        rows = self._rows(query.group_by(QueuedTask.pool, QueuedTask.name))
        return [TaskCount(pool, name, count - taken, taken) for pool, name, count, taken in rows]

    def champions_since(self) -> list[ChampionSince]:
        """The champion of every model, and when it became that last."""
        same = and_(
            Promotion.name == ModelAlias.name,
            Promotion.alias == ModelAlias.alias,
            Promotion.version == ModelAlias.version,
        )
        query = (
            select(
                ModelAlias.name,
                ModelAlias.version,
                func.max(Promotion.created_at, type_=Promotion.created_at.type),
            )
            .join(Promotion, same)
            .where(ModelAlias.alias == CHAMPION)
            .group_by(ModelAlias.name, ModelAlias.version)
        )
        return [ChampionSince(*row) for row in self._rows(query)]

    def last_generations(self) -> list[LastGeneration]:
        """The newest generation of every corpus."""
        newest = select(func.max(Generation.id)).group_by(Generation.corpus_id)
        query = select(Corpus.name, Generation.state, Generation.created_at).join(
            Generation, Generation.corpus_id == Corpus.id
        )
        return [LastGeneration(*row) for row in self._rows(query.where(Generation.id.in_(newest)))]

    def _rows(self, query: Select[Any]) -> list[Any]:
        with self._database.reading() as connection:
            return [tuple(row) for row in connection.execute(query)]
