"""Pseudo-labels by generation. Gold labels come with the clips (`infra.catalogue.clips`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, insert, select, update

from infra.artifacts import ArtifactRef
from infra.catalogue.bulk import in_parts, upsert
from infra.catalogue.clips import has_file
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.tables import Clip, Corpus, Generation, GoldLabel, PseudoLabel
from infra.catalogue.utc_time import utc_now
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

    name: str
    content: str
    """What lay under the name when it was voted on."""
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


_LABEL_COLUMNS = (
    PseudoLabel.name, PseudoLabel.content, PseudoLabel.emotion, PseudoLabel.confidence, PseudoLabel.valence,
)  # fmt: skip


class LabelCatalogue:
    """Generations of pseudo-labels: written once; only how they are judged and where they stand changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_generation(
        self,
        facts: GenerationFacts,
        rows: Sequence[tuple[str, str, str, float, float | None]],
        withheld: Set[str] = frozenset(),
    ) -> GenerationRow:
        """Store a generation; if its key exists, that one is returned. Only what was rejected or released takes over how the
        same labels have been judged now (state, reason, findings); everything else stays.

        Args:
            facts: what is known of it.
            rows: fields of `PseudoLabelRow`; a valence of NaN is a missing one.
            withheld: names whose gold labels count for nothing, since clips of equal content have others.

        Raises:
            CatalogueError: a clip is not of the corpus, belongs to its test or canary part (or has the content of one that does)
                or has a gold emotion.
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
            _check_unlabelled(connection, number, facts.corpus, [row[0] for row in rows], withheld)
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
        """Labels of a generation by name, in whatever state it is. Raises CatalogueError if unknown."""
        query = (
            select(*_LABEL_COLUMNS)
            .join(Generation, Generation.id == PseudoLabel.generation_id)
            .where(Generation.key == key)
        )
        with self._database.reading() as connection:
            _require(connection, key)
            return sorted(PseudoLabelRow(*row) for row in connection.execute(query))

    def pseudo_labels_of(self, corpus: str, name: str) -> list[tuple[GenerationRow, PseudoLabelRow]]:
        """Every label that a clip was ever given, with its generation, oldest first: who voted for it, and whether it counts."""
        query = (
            select(Generation.key, *_LABEL_COLUMNS)
            .join(Generation, Generation.id == PseudoLabel.generation_id)
            .where(PseudoLabel.name == name)
            .order_by(Generation.id)
        )
        with self._database.reading() as connection:
            query = query.where(Generation.corpus_id == corpus_id(connection, corpus))
            rows = [(row[0], PseudoLabelRow(*row[1:])) for row in connection.execute(query)]
            return [(_require(connection, key), label) for key, label in rows]

    def _move(
        self, key: str, state: GenerationState, allowed: Sequence[GenerationState], reason: str
    ) -> GenerationRow:
        with self._database.writing() as connection:
            generation = _require(connection, key)
            if generation.state is state:
                return generation
            if generation.state not in allowed:
                raise CatalogueError(
                    f"generation {generation.number} is {generation.state}: expected {' or '.join(allowed)} to make it {state}"
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
    generation = _generation(connection, key)
    if generation is None:
        raise CatalogueError(f"no generation of pseudo-labels {key!r}")
    return generation


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


def _check_unlabelled(
    connection: Connection, number: int, corpus: str, names: Sequence[str], withheld: Set[str]
) -> None:
    """The last line of defence against test clips in training (the selection leaves them out too)."""
    same = (GoldLabel.corpus_id == Clip.corpus_id) & (GoldLabel.name == Clip.name)
    query = select(Clip.name, Clip.content, GoldLabel.emotion).outerjoin(GoldLabel, same)
    query = query.where(Clip.corpus_id == number, has_file())
    judging = select(Clip.content).where(
        Clip.corpus_id == number, Clip.split.in_(("test", "canary")), has_file()
    )
    rows = [row for part in in_parts(names) for row in connection.execute(query.where(Clip.name.in_(part)))]
    contents = in_parts(row.content for row in rows)
    judged = {one for part in contents for one in connection.scalars(judging.where(Clip.content.in_(part)))}
    free = {
        name
        for name, content, emotion in rows
        if content not in judged and (emotion is None or name in withheld)
    }
    refused = sorted(set(names) - free)
    if refused:
        raise CatalogueError(
            f"{len(refused)} pseudo-labels are for clips that are not unlabelled clips of corpus {corpus!r}, "
            f"the first being {refused[0]}: test clips and clips with a gold label must be left out"
        )
