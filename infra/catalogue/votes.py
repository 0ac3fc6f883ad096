"""Votes of a corpus' annotators, as its owner's table has them; the label that follows is a gold label like others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import delete, insert, select

from infra.catalogue.bulk import in_parts
from infra.catalogue.corpora import corpus_id
from infra.catalogue.database import Database
from infra.catalogue.quarantine import storable
from infra.catalogue.review_tables import LabelVote


class VoteRow(NamedTuple):
    """One annotator's say on one clip."""

    annotator: str | None
    """None: counted, by nobody knows whom."""
    emotion: str | None
    weight: float
    valence: float | None


class VoteCatalogue:
    """Votes by corpus. Raises CatalogueError for a corpus that is not catalogued."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set_votes(self, corpus: str, votes: Mapping[str, Sequence[VoteRow]]) -> None:
        """Replace all votes on these clips; none: the clip has no votes any more."""
        with self._database.writing() as connection:
            number = corpus_id(connection, corpus)
            for part in in_parts(votes):
                of_these = LabelVote.name.in_(part)
                connection.execute(delete(LabelVote).where(LabelVote.corpus_id == number, of_these))
            rows = [
                {
                    **vote._asdict(),
                    "corpus_id": number,
                    "name": name,
                    "annotator": None if vote.annotator is None else storable(vote.annotator),
                }
                for name, own in votes.items()
                for vote in own
            ]
            if rows:
                connection.execute(insert(LabelVote), rows)

    def votes(self, corpus: str) -> dict[str, list[VoteRow]]:
        """Clip -> its votes in the order of the table, of the clips that have any."""
        columns = (
            LabelVote.name,
            LabelVote.annotator,
            LabelVote.emotion,
            LabelVote.weight,
            LabelVote.valence,
        )
        found: defaultdict[str, list[VoteRow]] = defaultdict(list)
        with self._database.reading() as connection:
            query = select(*columns).where(LabelVote.corpus_id == corpus_id(connection, corpus))
            for name, *vote in connection.execute(query.order_by(LabelVote.id)):
                found[name].append(VoteRow(*vote))
        return dict(found)
