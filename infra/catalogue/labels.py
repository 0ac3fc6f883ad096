"""Pseudo-labels by generation. Gold labels come with the clips (`infra.catalogue.clips`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from infra.catalogue.bulk import upsert
from infra.catalogue.clips import corpus_name
from infra.catalogue.database import Database
from infra.catalogue.tables import Clip, Generation, GoldLabel, PseudoLabel, utc_now
from infra.errors import CatalogueError


class PseudoLabelRow(NamedTuple):
    """A model's label of one unlabelled clip."""

    clip_id: str
    emotion: str
    confidence: float
    """Calibrated probability in [0, 1]."""
    valence: float | None
    """In [-5, 5]."""


@dataclass(frozen=True, kw_only=True)
class GenerationRow:
    """One round of pseudo-labelling."""

    key: str
    corpus_id: int
    model: dict[str, Any]
    policy: dict[str, Any]
    counts: dict[str, int]
    created_at: datetime
    withdrawn_at: datetime | None


class LabelCatalogue:
    """Generations of pseudo-labels: written once, withdrawn as a whole."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_generation(
        self,
        key: str,
        corpus_id: int,
        *,
        model: Mapping[str, Any],
        policy: Mapping[str, Any],
        counts: Mapping[str, int],
        rows: Sequence[PseudoLabelRow],
    ) -> GenerationRow:
        """Store a generation; if `key` exists, that one is returned and nothing changes.

        `model`: the reference of what labelled (JSON); `policy`: the selection's configuration (JSON);
        `counts`: clips by class.

        Raises:
            CatalogueError: a clip is not of the corpus, belongs to its test part or has a gold emotion.
        """
        with self._database.writing() as connection:
            if (existing := _generation(connection, key)) is not None:
                return existing
            _check_unlabelled(connection, corpus_id, rows)
            values = {
                "model": dict(model),
                "policy": dict(policy),
                "counts": dict(counts),
                "created_at": utc_now(),
            }
            generation_id = connection.execute(
                insert(Generation).values(key=key, corpus_id=corpus_id, **values).returning(Generation.id)
            ).scalar_one()
            upsert(
                connection, PseudoLabel, [{"generation_id": generation_id, **row._asdict()} for row in rows]
            )
            stored = _generation(connection, key)
        assert stored is not None  # written in this transaction
        return stored

    def withdraw_generation(self, key: str) -> None:
        """Take a generation out of use; its rows stay for the record. Again: no change."""
        with self._database.writing() as connection:
            if _generation(connection, key) is None:
                raise CatalogueError(f"no generation of pseudo-labels {key!r}")
            statement = update(Generation).where(Generation.key == key, Generation.withdrawn_at.is_(None))
            connection.execute(statement.values(withdrawn_at=utc_now()))

    def generation(self, key: str) -> GenerationRow | None:
        """The generation of this key."""
        with self._database.reading() as connection:
            return _generation(connection, key)

    def generations(self, corpus_id: int) -> list[GenerationRow]:
        """All generations of a corpus, oldest first, withdrawn ones too."""
        query = _generation_query().where(Generation.corpus_id == corpus_id).order_by(Generation.id)
        with self._database.reading() as connection:
            return [GenerationRow(**row) for row in connection.execute(query).mappings()]

    def pseudo_labels(self, key: str) -> list[PseudoLabelRow]:
        """Labels of a generation by clip id; none if it was withdrawn. Raises CatalogueError if unknown."""
        query = (
            select(PseudoLabel.clip_id, PseudoLabel.emotion, PseudoLabel.confidence, PseudoLabel.valence)
            .join(Generation, Generation.id == PseudoLabel.generation_id)
            .where(Generation.key == key)
            .order_by(PseudoLabel.clip_id)
        )
        with self._database.reading() as connection:
            generation = _generation(connection, key)
            if generation is None:
                raise CatalogueError(f"no generation of pseudo-labels {key!r}")
            if generation.withdrawn_at is not None:
                return []
            return [PseudoLabelRow(*row) for row in connection.execute(query)]


def _generation_query() -> Any:
    columns = (
        Generation.key, Generation.corpus_id, Generation.model, Generation.policy, Generation.counts,
        Generation.created_at, Generation.withdrawn_at,
    )  # fmt: skip
    return select(*columns)


def _generation(connection: Connection, key: str) -> GenerationRow | None:
    row = connection.execute(_generation_query().where(Generation.key == key)).mappings().first()
    return None if row is None else GenerationRow(**row)


def _check_unlabelled(connection: Connection, corpus_id: int, rows: Sequence[PseudoLabelRow]) -> None:
    """The last line of defence against test clips in training (the selection excludes them as well)."""
    name = corpus_name(connection, corpus_id)
    query = (
        select(Clip.clip_id, Clip.split, GoldLabel.emotion)
        .outerjoin(GoldLabel, (GoldLabel.corpus_id == Clip.corpus_id) & (GoldLabel.clip_id == Clip.clip_id))
        .where(Clip.corpus_id == corpus_id)
    )
    free = {
        clip_id
        for clip_id, split, emotion in connection.execute(query)
        if split != "test" and emotion is None
    }
    refused = [row.clip_id for row in rows if row.clip_id not in free]
    if refused:
        raise CatalogueError(
            f"{len(refused)} pseudo-labels are for clips that are not unlabelled clips of corpus {name!r}, "
            f"the first being {refused[0]}: test clips and gold labels must be left out"
        )
