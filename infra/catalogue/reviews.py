"""Reviews: what people decided on clips, and who has which clip before them.

Decisions are written once. Taking one back is another row; the last row of an annotator on a clip that was not taken back stands.
Who decides holds a claim on the clip. Claims end by a clock, which decides only whether somebody else may begin: a decision
under a claim that was given to somebody else since is refused, so nothing is overwritten and nothing is decided twice.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text

from infra.catalogue.bulk import upsert
from infra.catalogue.clips import has_file
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.review_tables import Review, ReviewClaim
from infra.catalogue.tables import Clip, Corpus, GoldLabel
from infra.catalogue.utc_time import utc_now
from infra.errors import ReviewRefused

DEFAULT_CLAIM_SECONDS = 120.0
_REVIEW_LOCK = 0x72657669
"""Number of the advisory lock that orders claims and decisions on Postgres."""
_HELD_OUT = ("test", "canary")


class Decision(StrEnum):
    """What a reviewer says."""

    ACCEPT = "accept"
    """What was shown is right."""
    CORRECT = "correct"
    """Another emotion."""
    SEVERAL = "several"
    """Several emotions with weights."""
    CANNOT_TELL = "cannot_tell"
    """No emotion can be named: nothing is learnt from the clip."""
    UNDO = "undo"
    """An earlier decision is taken back."""


@dataclass(frozen=True, kw_only=True)
class ReviewFacts:
    """A decision."""

    key: str
    """Idempotency key, at most 200 characters."""
    corpus: str
    name: str
    content: str
    """What lay under the name when it was shown."""
    annotator: str
    decision: Decision
    weights: Mapping[str, float] = field(default_factory=dict)
    """Emotion -> weight; one of weight 1 where a single one was named."""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """JSON: `emotion`, `source` (pseudo, gold, model), `confidence`, `model`, `version`, `order`."""
    seconds: float | None = None
    """From showing the clip to the decision."""
    undoes: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewRow(ReviewFacts):
    """A stored decision."""

    id: int
    owner_emotion: str | None
    """The corpus owner's label at that time."""
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """A clip that an annotator has before them."""

    corpus: str
    name: str
    annotator: str
    token: str
    expires_at: datetime


class ReviewCatalogue:
    """Decisions and claims. Raises CatalogueError for a corpus that is not catalogued."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_review(
        self,
        corpus: str,
        names: Sequence[str],
        annotator: str,
        seconds: float = DEFAULT_CLAIM_SECONDS,
        reviewers: int = 1,
    ) -> ClaimRow | None:
        """Give the annotator the first of these clips that waits for a reviewer; None: none does.

        Who has a clip before them already gets that one again, and its time begins anew: so an interrupted session goes on.

        Args:
            corpus: whose clips.
            names: in the order in which they are to be reviewed.
            annotator: who asks.
            seconds: how long nobody else gets the clip.
            reviewers: different people that a clip is shown to.
        """
        now = utc_now()
        with self._database.writing() as connection:
            _one_at_a_time(connection)
            number = corpus_id(connection, corpus)
            claims = {
                row.name: row
                for row in connection.execute(
                    select(ReviewClaim.__table__).where(ReviewClaim.corpus_id == number)
                )
            }
            done = _reviewed_by(_standing(_rows(connection, corpus)), _contents(connection, number))
            name = next(
                (
                    name
                    for name in names
                    if (own := claims.get(name)) is not None and own.annotator == annotator
                ),
                None,
            )
            if name is None or len(done[name]) >= reviewers or annotator in done[name]:
                name = next(
                    (
                        name
                        for name in names
                        if len(done[name]) < reviewers
                        and annotator not in done[name]
                        and (
                            (held := claims.get(name)) is None
                            or held.annotator == annotator
                            or held.expires_at <= now
                        )
                    ),
                    None,
                )
            if name is None:
                return None
            return _claimed(connection, number, ClaimRow(
                corpus=corpus, name=name, annotator=annotator,
                token=claims[name].token if name in claims and claims[name].annotator == annotator else secrets.token_hex(16),
                expires_at=now + timedelta(seconds=seconds),
            ))  # fmt: skip

    def release_review(self, token: str) -> None:
        """Give a clip back undecided, by the token of its claim; no error if somebody else has it by now."""
        with self._database.writing() as connection:
            connection.execute(delete(ReviewClaim).where(ReviewClaim.token == token))

    def add_review(self, facts: ReviewFacts, token: str | None = None) -> ReviewRow:
        """Write a decision; sent again under its key it is the row there is.

        Args:
            facts: what was decided.
            token: of the claim under which it was decided, which ends with it; None: decided elsewhere (an import).

        Raises:
            ReviewRefused: the claim was given to somebody else, another file lies under the name now, the clip is of the test or
                canary part (or has the content of one that is), the key stands for another decision, or the weights do not fit
                the decision.
        """
        _check(facts)
        with self._database.writing() as connection:
            _one_at_a_time(connection)
            number = corpus_id(connection, facts.corpus)
            if (known := _by_key(connection, facts.key)) is not None:
                return _same(known, facts)
            held = select(ReviewClaim.token).where(
                ReviewClaim.corpus_id == number, ReviewClaim.name == facts.name
            )
            if token is not None and connection.scalar(held) != token:
                raise ReviewRefused(
                    f"clip {facts.name!r}: expected the claim under which it was shown, found that it has ended or somebody "
                    "else has the clip now; nothing was written, take the next one"
                )
            owner = _require_reviewable(connection, number, facts)
            row = _added(connection, number, facts, owner)
            if token is not None:
                connection.execute(delete(ReviewClaim).where(ReviewClaim.token == token))
        return row

    def undo_review(
        self, corpus: str, annotator: str, key: str, seconds: float = DEFAULT_CLAIM_SECONDS
    ) -> tuple[ReviewRow, ClaimRow | None]:
        """Take back the annotator's last standing decision; the clip is theirs again, unless somebody else has it.

        Sent again under its key it is the row there is.

        Raises:
            ReviewRefused: nothing is left to take back.
        """
        now = utc_now()
        with self._database.writing() as connection:
            _one_at_a_time(connection)
            number = corpus_id(connection, corpus)
            row = _by_key(connection, key)
            if row is None:
                own = [row for row in _standing(_rows(connection, corpus)) if row.annotator == annotator]
                if not own:
                    raise ReviewRefused(
                        f"{annotator} has no decision on corpus {corpus} that stands: nothing to take back"
                    )
                last = max(own, key=lambda row: row.id)
                facts = ReviewFacts(
                    key=key, corpus=corpus, name=last.name, content=last.content, annotator=annotator,
                    decision=Decision.UNDO, undoes=last.id,
                )  # fmt: skip
                row = _added(connection, number, facts, last.owner_emotion)
            elif (row.decision, row.annotator, row.corpus) != (Decision.UNDO, annotator, corpus):
                raise ReviewRefused(f"the key {key!r} stands for another decision: nothing was written")
            held = connection.execute(
                select(ReviewClaim.__table__).where(
                    ReviewClaim.corpus_id == number, ReviewClaim.name == row.name
                )
            ).first()
            if held is not None and held.annotator != annotator and held.expires_at > now:
                return row, None
            connection.execute(
                delete(ReviewClaim).where(ReviewClaim.corpus_id == number, ReviewClaim.annotator == annotator)
            )
            claim = ClaimRow(
                corpus=corpus, name=row.name, annotator=annotator, token=secrets.token_hex(16),
                expires_at=now + timedelta(seconds=seconds),
            )  # fmt: skip
            return row, _claimed(connection, number, claim)

    def reviews(self, corpus: str | None = None) -> list[ReviewRow]:
        """Every decision, oldest first; None: of all corpora."""
        with self._database.reading() as connection:
            return _rows(connection, corpus)

    def standing_reviews(self, corpus: str) -> list[ReviewRow]:
        """Each annotator's last decision on each clip that was not taken back, oldest first."""
        return _standing(self.reviews(corpus))

    def review_claims(self, corpus: str) -> list[ClaimRow]:
        """Who has which clip before them now, by name."""
        columns = (ReviewClaim.name, ReviewClaim.annotator, ReviewClaim.token, ReviewClaim.expires_at)
        with self._database.reading() as connection:
            query = select(*columns).where(ReviewClaim.corpus_id == corpus_id(connection, corpus))
            rows = connection.execute(query.where(ReviewClaim.expires_at > utc_now())).mappings().all()
        return sorted((ClaimRow(corpus=corpus, **row) for row in rows), key=lambda row: row.name)


def _one_at_a_time(connection: Connection) -> None:
    """SQLite's writing transactions are so anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _REVIEW_LOCK})


def _check(facts: ReviewFacts) -> None:
    weights = facts.weights
    positive = all(weight > 0 and weight != float("inf") for weight in weights.values())  # NaN is not > 0
    fits = {
        Decision.ACCEPT: len(weights) == 1,
        Decision.CORRECT: len(weights) == 1,
        Decision.SEVERAL: len(weights) > 1,
        Decision.CANNOT_TELL: not weights,
        Decision.UNDO: False,
    }[facts.decision]
    named = (
        facts.annotator.strip() == facts.annotator
        and facts.annotator.isprintable()
        and 0 < len(facts.annotator) <= 200
    )
    if not (fits and positive and named and 0 < len(facts.key) <= 200):
        raise ReviewRefused(
            f"clip {facts.name!r}: expected a name of the annotator (up to 200 characters), a key and, for {facts.decision}, "
            "emotions that fit it (one for accept and correct, two or more with weights above 0 for several, none for "
            f"cannot_tell), found {dict(weights)} by {facts.annotator!r}"
        )


def _require_reviewable(connection: Connection, number: int, facts: ReviewFacts) -> str | None:
    """The owner's label of the clip. Raises ReviewRefused where it may not be reviewed."""
    mine = Clip.corpus_id == number
    same = (GoldLabel.corpus_id == Clip.corpus_id) & (GoldLabel.name == Clip.name)
    query = select(Clip.content, GoldLabel.emotion, Corpus.emotions).join(Corpus, Corpus.id == Clip.corpus_id)
    found = connection.execute(
        query.outerjoin(GoldLabel, same).where(mine, Clip.name == facts.name, has_file())
    ).first()
    if found is None or found.content != facts.content:
        what = "no such clip" if found is None else "another file"
        raise ReviewRefused(
            f"clip {facts.name!r} of corpus {facts.corpus}: expected the file that was shown, found {what}; nothing was written"
        )
    held_out = select(Clip.name).where(mine, Clip.content == found.content, Clip.split.in_(_HELD_OUT))
    if connection.scalar(held_out.limit(1)) is not None:
        raise ReviewRefused(
            f"clip {facts.name!r} is of the test or canary part of corpus {facts.corpus}, or has the content of one that is: its "
            "label is the owner's alone"
        )
    if unknown := sorted(set(facts.weights) - set(found.emotions)):
        raise ReviewRefused(
            f"clip {facts.name!r}: expected emotions out of {', '.join(found.emotions)}, found {', '.join(unknown)}"
        )
    return None if found.emotion is None else str(found.emotion)


def _added(connection: Connection, number: int, facts: ReviewFacts, owner: str | None) -> ReviewRow:
    values = {name: value for name, value in asdict(facts).items() if name != "corpus"}
    values |= {
        "decision": facts.decision.value,
        "corpus_id": number,
        "owner_emotion": owner,
        "created_at": utc_now(),
    }
    connection.execute(insert(Review).values(values))
    row = _by_key(connection, facts.key)
    assert row is not None  # written in this transaction
    return row


def _claimed(connection: Connection, number: int, claim: ClaimRow) -> ClaimRow:
    values = {name: value for name, value in asdict(claim).items() if name != "corpus"}
    upsert(connection, ReviewClaim, [{"corpus_id": number, **values}])
    return claim


def _same(known: ReviewRow, facts: ReviewFacts) -> ReviewRow:
    compared = ("corpus", "name", "annotator", "decision")
    if any(getattr(known, name) != getattr(facts, name) for name in compared) or known.weights != dict(
        facts.weights
    ):
        raise ReviewRefused(
            f"the key {facts.key!r} stands for another decision, on clip {known.name!r} by {known.annotator}: nothing was written"
        )
    return known


def _rows(connection: Connection, corpus: str | None) -> list[ReviewRow]:
    query = select(Review.__table__, Corpus.name.label("corpus")).join(Corpus, Corpus.id == Review.corpus_id)
    if corpus is not None:
        query = query.where(Review.corpus_id == corpus_id(connection, corpus))
    return [_row(row) for row in connection.execute(query.order_by(Review.id)).mappings()]


def _by_key(connection: Connection, key: str) -> ReviewRow | None:
    query = select(Review.__table__, Corpus.name.label("corpus")).join(Corpus, Corpus.id == Review.corpus_id)
    row = connection.execute(query.where(Review.key == key)).mappings().first()
    return None if row is None else _row(row)


def _row(row: Mapping[Any, Any]) -> ReviewRow:
    values = {name: value for name, value in row.items() if name != "corpus_id"}
    return ReviewRow(**{**values, "decision": Decision(values["decision"])})


def _standing(rows: Sequence[ReviewRow]) -> list[ReviewRow]:
    undone = {row.undoes for row in rows}
    last: dict[tuple[str, str], ReviewRow] = {}
    for row in rows:
        if row.decision is not Decision.UNDO and row.id not in undone:
            last[row.name, row.annotator] = row
    return sorted(last.values(), key=lambda row: row.id)


def _reviewed_by(standing: Sequence[ReviewRow], contents: Mapping[str, str]) -> defaultdict[str, set[str]]:
    """Clip -> who has reviewed what lies under its name now."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in standing:
        if contents.get(row.name) == row.content:
            found[row.name].add(row.annotator)
    return found


def _contents(connection: Connection, number: int) -> dict[str, str]:
    query = select(Clip.name, Clip.content).where(
        Clip.corpus_id == number, Clip.name.in_(select(Review.name).where(Review.corpus_id == number))
    )
    return {row.name: row.content for row in connection.execute(query)}
