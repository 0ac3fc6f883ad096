"""Pseudo-labels by generation. Gold labels come with the clips (`infra.catalogue.clips`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, insert, select, update

from infra.artifacts import ArtifactRef
from infra.catalogue.bulk import upsert
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.tables import Clip, Corpus, Generation, GoldLabel, PseudoLabel, utc_now
from infra.errors import CatalogueError


class GenerationState(StrEnum):
    """Where a generation stands."""

    LIVE = "live"
    """Trained on."""
    REJECTED = "rejected"
    """Did not help on true labels; its clips are voted on again with the next batch."""
    STOPPED = "stopped"
    """A guard said no; its clips are set aside until somebody releases them."""
    WITHDRAWN = "withdrawn"
    """Taken out of training; its clips are set aside until somebody releases them."""
    RELEASED = "released"
    """Not trained on, but its clips may be voted on again."""


SET_ASIDE = (GenerationState.STOPPED, GenerationState.WITHDRAWN)
JUDGED_AGAIN = (GenerationState.REJECTED, GenerationState.RELEASED)
"""States whose clips are voted on again: the same labels may then be judged otherwise."""


class PseudoLabelRow(NamedTuple):
    """A model's label of one unlabelled clip."""

    clip_id: str
    emotion: str
    confidence: float
    """Calibrated probability in [0, 1]."""
    valence: float | None
    """In [-5, 5]; None where the model gives none."""


@dataclass(frozen=True, kw_only=True)
class GenerationFacts:
    """What is known of a generation when it is written."""

    key: str
    """Idempotency key, at most 64 characters."""
    corpus: str
    artifact: ArtifactRef
    """The selection of the served view."""
    policy: Mapping[str, Any]
    """The selection's configuration (JSON)."""
    counts: Mapping[str, int]
    """Clips by emotion."""
    recipe: str = ""
    selections: Mapping[str, ArtifactRef] = field(default_factory=dict)
    """Every view's own selection, which its own models voted for."""
    voters: Mapping[str, str] = field(default_factory=dict)
    """System that voted in the served view -> its model artifact (`kind/key@sha256`)."""
    thresholds: Mapping[str, float | None] = field(default_factory=dict)
    """Least confidence by emotion; None: none was good enough."""
    precision: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """[right, all] by emotion of held-out true labels under the same policy."""
    round: int = 1
    membership: str = ""
    """Hash of the served view's training set with this generation."""
    findings: Sequence[Mapping[str, Any]] = ()
    """What the guards measured."""
    state: GenerationState = GenerationState.LIVE
    reason: str = ""
    """Why it is in this state, for people."""


@dataclass(frozen=True, kw_only=True)
class GenerationRow(GenerationFacts):
    """A stored generation."""

    number: int
    """Number among all generations, growing."""
    created_at: datetime
    withdrawn_at: datetime | None


class LabelCatalogue:
    """Generations of pseudo-labels: written once; only how they are judged and where they stand changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_generation(
        self, facts: GenerationFacts, rows: Sequence[tuple[str, str, float, float | None]]
    ) -> GenerationRow:
        """Store a generation; if its key exists, that one is returned. Only what was rejected or released takes over how the
        same labels have been judged now (state, reason, findings); everything else stays.

        Args:
            facts: what is known of it.
            rows: fields of `PseudoLabelRow`; a valence of NaN is a missing one.

        Raises:
            CatalogueError: a clip is not of the corpus, belongs to its test or canary part or has a gold emotion.
        """
        with self._database.writing() as connection:
            if (existing := _generation(connection, facts.key)) is not None:
                if existing.state not in JUDGED_AGAIN or existing.state is facts.state:
                    return existing
                judged = {
                    "state": facts.state.value,
                    "reason": facts.reason,
                    "findings": [dict(finding) for finding in facts.findings],
                    "membership": facts.membership,
                }
                connection.execute(update(Generation).where(Generation.key == facts.key).values(judged))
                return _require(connection, facts.key)
            number = corpus_id(connection, facts.corpus)
            _check_unlabelled(connection, number, facts.corpus, [row[0] for row in rows])
            header = {
                **{name: value for name, value in asdict(facts).items() if name not in ("corpus", "state")},
                "corpus_id": number,
                "artifact": facts.artifact.model_dump(),
                "selections": {view: ref.model_dump() for view, ref in facts.selections.items()},
                "precision": {name: list(value) for name, value in facts.precision.items()},
                "findings": [dict(finding) for finding in facts.findings],
                "state": facts.state.value,
                "created_at": utc_now(),
            }
            statement = insert(Generation).values(header).returning(Generation.id)
            generation_id = connection.execute(statement).scalar_one()
            upsert(connection, PseudoLabel, [_label(generation_id, PseudoLabelRow(*row)) for row in rows])
            stored = _generation(connection, facts.key)
        assert stored is not None  # written in this transaction
        return stored

    def withdraw_generation(self, key: str, reason: str = "") -> GenerationRow:
        """Take a live generation out of training; its rows stay for the record. Again: no change.

        Raises:
            CatalogueError: no such generation, or one that is not trained on.
        """
        return self._move(key, GenerationState.WITHDRAWN, (GenerationState.LIVE,), reason)

    def restore_generation(self, key: str, reason: str = "") -> GenerationRow:
        """Train on a withdrawn generation again. Again: no change.

        Raises:
            CatalogueError: no such generation, or one that was not withdrawn.
        """
        return self._move(key, GenerationState.LIVE, (GenerationState.WITHDRAWN,), reason)

    def release_generation(self, key: str, reason: str = "") -> GenerationRow:
        """Let the clips of a stopped or withdrawn generation be voted on again. Again: no change.

        Raises:
            CatalogueError: no such generation, or one whose clips are not set aside.
        """
        return self._move(key, GenerationState.RELEASED, SET_ASIDE, reason)

    def generations(
        self, corpus: str | None = None, recipe: str | None = None, *, states: Sequence[GenerationState] = ()
    ) -> list[GenerationRow]:
        """Generations, oldest first: of a corpus, of a recipe, in some states; left out: all."""
        query = _generations().order_by(Generation.id)
        if corpus is not None:
            query = query.where(Corpus.name == corpus)
        if recipe is not None:
            query = query.where(Generation.recipe == recipe)
        if states:
            query = query.where(Generation.state.in_([state.value for state in states]))
        with self._database.reading() as connection:
            return [_row(row) for row in connection.execute(query).mappings()]

    def pseudo_labels(self, key: str) -> list[PseudoLabelRow]:
        """Labels of a generation by clip id, in whatever state it is. Raises CatalogueError if unknown."""
        columns = (PseudoLabel.clip_id, PseudoLabel.emotion, PseudoLabel.confidence, PseudoLabel.valence)
        query = (
            select(*columns)
            .join(Generation, Generation.id == PseudoLabel.generation_id)
            .where(Generation.key == key)
            .order_by(PseudoLabel.clip_id)
        )
        with self._database.reading() as connection:
            _require(connection, key)
            return [PseudoLabelRow(*row) for row in connection.execute(query)]

    def pseudo_labels_of(self, clip_id: str) -> list[tuple[GenerationRow, PseudoLabelRow]]:
        """Every label that a clip was ever given, with its generation, oldest first: who voted for it, and whether it counts."""
        columns = (PseudoLabel.clip_id, PseudoLabel.emotion, PseudoLabel.confidence, PseudoLabel.valence)
        query = (
            select(Generation.key, *columns)
            .join(Generation, Generation.id == PseudoLabel.generation_id)
            .where(PseudoLabel.clip_id == clip_id)
            .order_by(Generation.id)
        )
        with self._database.reading() as connection:
            found = [(row[0], PseudoLabelRow(*row[1:])) for row in connection.execute(query)]
            return [(_require(connection, key), label) for key, label in found]

    def _move(
        self, key: str, state: GenerationState, allowed: Sequence[GenerationState], reason: str
    ) -> GenerationRow:
        with self._database.writing() as connection:
            found = _require(connection, key)
            if found.state is state:
                return found
            if found.state not in allowed:
                raise CatalogueError(
                    f"generation {found.number} is {found.state}: expected {' or '.join(allowed)} to make it {state}"
                )
            values: dict[str, Any] = {"state": state.value, "reason": reason}
            if state is not GenerationState.RELEASED:
                values["withdrawn_at"] = utc_now() if state is GenerationState.WITHDRAWN else None
            connection.execute(update(Generation).where(Generation.key == key).values(values))
            return _require(connection, key)


def _generations() -> Select[Any]:
    columns = (
        Generation.id.label("number"), Generation.key, Corpus.name.label("corpus"), Generation.artifact, Generation.policy,
        Generation.counts, Generation.created_at, Generation.withdrawn_at, Generation.recipe, Generation.round,
        Generation.state, Generation.reason, Generation.membership, Generation.selections, Generation.voters,
        Generation.thresholds, Generation.precision, Generation.findings,
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
    stored = {**row, "artifact": ArtifactRef.model_validate(row["artifact"])}
    stored["state"] = GenerationState(row["state"])
    stored["selections"] = {
        view: ArtifactRef.model_validate(ref) for view, ref in (row["selections"] or {}).items()
    }
    for name in ("voters", "thresholds", "precision"):
        stored[name] = row[name] or {}
    stored["findings"] = tuple(row["findings"] or ())
    return GenerationRow(**stored)


def _label(generation_id: int, row: PseudoLabelRow) -> dict[str, Any]:
    valence = None if row.valence is None or row.valence != row.valence else row.valence
    return {"generation_id": generation_id, **row._asdict(), "valence": valence}


def _check_unlabelled(connection: Connection, number: int, corpus: str, clip_ids: Sequence[str]) -> None:
    """The last line of defence against test clips in training (the selection leaves them out too)."""
    same = (GoldLabel.corpus_id == Clip.corpus_id) & (GoldLabel.clip_id == Clip.clip_id)
    query = select(Clip.clip_id, Clip.split, GoldLabel.emotion).outerjoin(GoldLabel, same)
    rows = connection.execute(query.where(Clip.corpus_id == number))
    free = {
        clip_id for clip_id, split, emotion in rows if split not in ("test", "canary") and emotion is None
    }
    refused = sorted(set(clip_ids) - free)
    if refused:
        raise CatalogueError(
            f"{len(refused)} pseudo-labels are for clips that are not unlabelled clips of corpus {corpus!r}, "
            f"the first being {refused[0]}: test clips and clips with a gold label must be left out"
        )
