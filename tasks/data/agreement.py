"""Agreement of a corpus' annotators, from the votes that are catalogued."""

from __future__ import annotations

from mer.votes.agreement import Agreement, agreement_of
from tasks.data.reviewed import as_votes
from tasks.stage.workspace import Workspace


def corpus_agreement(space: Workspace, corpus: str) -> Agreement | None:
    """Votes, Krippendorff's alpha and human ceiling of a corpus; None: it has one label a clip and no votes.

    Raises:
        CatalogueError: no such corpus.
    """
    votes = {name: as_votes(rows) for name, rows in space.catalogue.votes(corpus).items()}
    return agreement_of(votes, space.catalogue.corpus(corpus).emotions)


def reviewers_agreement(space: Workspace, corpus: str) -> Agreement | None:
    """The same of the people who reviewed the model's labels; None: nobody did.

    Raises:
        CatalogueError: no such corpus.
    """
    from mer.votes.vote import Vote

    votes: dict[str, list[Vote]] = {}
    for row in space.catalogue.standing_reviews(corpus):
        votes.setdefault(row.name, []).extend(
            Vote(annotator=row.annotator, emotion=emotion, weight=weight)
            for emotion, weight in row.weights.items()
        )
    return agreement_of(votes, space.catalogue.corpus(corpus).emotions)
