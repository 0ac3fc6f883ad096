"""Pseudo-labels by generation. Gold labels come with the clips (`infra.catalogue.clips`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, insert, select, update

from infra.artifacts import ArtifactRef
from infra.catalogue.bulk import upsert
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.tables import Clip, Corpus, Generation, GoldLabel, PseudoLabel, utc_now
from infra.errors import CatalogueError


class PseudoLabelRow(NamedTuple):
    """A model's label of one unlabelled clip."""

    clip_id: str
    emotion: str
    confidence: float
    """Calibrated probability in [0, 1]."""
    valence: float | None
    """In [-5, 5]; None where the model gives none."""


@dataclass(frozen=True, kw_only=True)
class GenerationRow:
    """One round of pseudo-labelling."""

    key: str
    corpus: str
    artifact: ArtifactRef
    """The selection, which names what labelled."""
    policy: dict[str, Any]
    counts: dict[str, int]
    """Clips by emotion."""
    created_at: datetime
    withdrawn_at: datetime | None


class LabelCatalogue:
    """Generations of pseudo-labels: written once, withdrawn as a whole."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_generation(
        self,
        key: str,
        corpus: str,
        *,
        artifact: ArtifactRef,
        policy: Mapping[str, Any],
        counts: Mapping[str, int],
        rows: Sequence[tuple[str, str, float, float | None]],
    ) -> GenerationRow:
        """Store a generation; if `key` exists, that one is returned and nothing changes.

        Args:
            key: idempotency key, at most 64 characters.
            corpus: whose clips were labelled.
            artifact: the selection or model that labelled.
            policy: the selection's configuration (JSON).
            counts: clips by emotion.
            rows: fields of `PseudoLabelRow`; a valence of NaN is a missing one.

        Raises:
            CatalogueError: a clip is not of the corpus, belongs to its test part or has a gold emotion.
        """
        with self._database.writing() as connection:
            if (existing := _generation(connection, key)) is not None:
                return existing
            number = corpus_id(connection, corpus)
            _check_unlabelled(connection, number, corpus, [row[0] for row in rows])
            header = {
                "key": key,
                "corpus_id": number,
                "artifact": artifact.model_dump(),
                "policy": dict(policy),
                "counts": dict(counts),
                "created_at": utc_now(),
            }
            statement = insert(Generation).values(header).returning(Generation.id)
            generation_id = connection.execute(statement).scalar_one()
            upsert(connection, PseudoLabel, [_label(generation_id, PseudoLabelRow(*row)) for row in rows])
            stored = _generation(connection, key)
        assert stored is not None  # written in this transaction
        return stored

    def withdraw_generation(self, key: str) -> None:
        """Take a generation out of use; its rows stay for the record. Again: no change."""
        with self._database.writing() as connection:
            _require(connection, key)
            statement = update(Generation).where(Generation.key == key, Generation.withdrawn_at.is_(None))
            connection.execute(statement.values(withdrawn_at=utc_now()))

    def generation(self, key: str) -> GenerationRow | None:
        """The generation of this key."""
        with self._database.reading() as connection:
            return _generation(connection, key)

    def generations(self, corpus: str) -> list[GenerationRow]:
        """All generations of a corpus, oldest first, withdrawn ones too."""
        query = _generations().where(Corpus.name == corpus).order_by(Generation.id)
        with self._database.reading() as connection:
            return [_row(row) for row in connection.execute(query).mappings()]

    def pseudo_labels(self, key: str) -> list[PseudoLabelRow]:
        """Labels of a generation by clip id; none if it was withdrawn. Raises CatalogueError if unknown."""
        columns = (PseudoLabel.clip_id, PseudoLabel.emotion, PseudoLabel.confidence, PseudoLabel.valence)
        query = (
            select(*columns)
            .join(Generation, Generation.id == PseudoLabel.generation_id)
            .where(Generation.key == key)
            .order_by(PseudoLabel.clip_id)
        )
        with self._database.reading() as connection:
            if _require(connection, key).withdrawn_at is not None:
                return []
            return [PseudoLabelRow(*row) for row in connection.execute(query)]


def _generations() -> Select[Any]:
    columns = (
        Generation.key, Corpus.name.label("corpus"), Generation.artifact, Generation.policy,
        Generation.counts, Generation.created_at, Generation.withdrawn_at,
    )  # fmt: skip
    return select(*columns).join(Corpus, Corpus.id == Generation.corpus_id)


def _generation(connection: Connection, key: str) -> GenerationRow | None:
    row = connection.execute(_generations().where(Generation.key == key)).mappings().first()
    return None if row is None else _row(row)


def _require(connection: Connection, key: str) -> GenerationRow:
    found = _generation(connection, key)
    if found is None:
        raise CatalogueError(f"no generation of pseudo-labels {key!r}")
    return found


def _row(row: Mapping[Any, Any]) -> GenerationRow:
    return GenerationRow(**{**row, "artifact": ArtifactRef.model_validate(row["artifact"])})


def _label(generation_id: int, row: PseudoLabelRow) -> dict[str, Any]:
    valence = None if row.valence is None or row.valence != row.valence else row.valence
    return {"generation_id": generation_id, **row._asdict(), "valence": valence}


def _check_unlabelled(connection: Connection, number: int, corpus: str, clip_ids: Sequence[str]) -> None:
    """The last line of defence against test clips in training (the selection leaves them out too)."""
    same = (GoldLabel.corpus_id == Clip.corpus_id) & (GoldLabel.clip_id == Clip.clip_id)
    query = select(Clip.clip_id, Clip.split, GoldLabel.emotion).outerjoin(GoldLabel, same)
    rows = connection.execute(query.where(Clip.corpus_id == number))
    free = {clip_id for clip_id, split, emotion in rows if split != "test" and emotion is None}
    refused = sorted(set(clip_ids) - free)
    if refused:
        raise CatalogueError(
            f"{len(refused)} pseudo-labels are for clips that are not unlabelled clips of corpus {corpus!r}, "
            f"the first being {refused[0]}: test clips and clips with a gold label must be left out"
        )
