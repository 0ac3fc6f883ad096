"""Labels of a corpus as they count today: the owner's, votes of several annotators, and what reviewers decided since.

A review outranks the label that it was given beside. It counts while the file it was about lies under the name, and while the
owner's label is what it was then: who corrects the table later has the last word, and the clip may be reviewed again. Test and
canary clips keep the owner's labels whatever a row says, and so do clips of their contents.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from infra.catalogue import ClipRow, Decision, ReviewRow, VoteRow
from mer.clips import Split
from mer.votes.vote import Vote, majority, shares_of
from tasks.stage.workspace import Workspace

REVIEWED = "review"
"""Source of a label that a reviewer gave."""
_HELD_OUT = (Split.TEST, Split.CANARY)


@dataclass(frozen=True)
class Reviewed:
    """What reviewers say of one clip, taken together."""

    emotion: str | None
    """With most weight; None: cannot tell, or a tie."""
    shares: tuple[tuple[str, float], ...]
    """(emotion, share), heaviest first; empty: all cannot tell."""
    rows: tuple[ReviewRow, ...]


def labels_of_today(space: Workspace, corpus: str, rows: Sequence[ClipRow], *, soft: bool) -> list[ClipRow]:
    """The clips with the labels that count.

    A reviewed clip becomes a training clip. One that nobody can tell the emotion of leaves the list: nothing is learnt from it.

    Args:
        space: where votes and reviews are.
        corpus: whose clips.
        rows: with the owner's labels.
        soft: whether distributions of votes are learnt.
    """
    standing = _of_todays_classes(space, corpus, space.catalogue.standing_reviews(corpus))
    reviewed = counting_reviews(rows, standing)
    votes = space.catalogue.votes(corpus) if soft else {}
    found = [_row_of_today(row, reviewed.get(row.name), votes.get(row.name, ()), soft) for row in rows]
    if reviewed:
        counts = Counter(
            "cannot tell" if not one.shares else "named" if one.emotion else "tied"
            for one in reviewed.values()
        )
        listed = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        logging.getLogger(__name__).info("%d reviewed clips of %s: %s", len(reviewed), corpus, listed)
    return [row for row in found if row is not None]


def _of_todays_classes(space: Workspace, corpus: str, standing: Sequence[ReviewRow]) -> list[ReviewRow]:
    """Reviews that name classes which the corpus has today."""
    if not standing:
        return []
    classes = set(space.catalogue.corpus(corpus).emotions)
    found = [row for row in standing if set(row.weights) <= classes]
    if len(found) < len(standing):
        logging.getLogger(__name__).warning(
            "%d reviews of %s name classes that it has no more, and do not count",
            len(standing) - len(found),
            corpus,
        )
    return found


def counting_reviews(rows: Iterable[ClipRow], standing: Sequence[ReviewRow]) -> dict[str, Reviewed]:
    """Clip -> what its reviewers say, of the clips whose reviews count."""
    listed = list(rows)
    judged = {row.content for row in listed if row.split in _HELD_OUT}
    known = {row.name: row for row in listed if row.content not in judged}
    by_clip: defaultdict[str, list[ReviewRow]] = defaultdict(list)
    for review in standing:
        row = known.get(review.name)
        if row is not None and (row.content, row.emotion) == (review.content, review.owner_emotion):
            by_clip[review.name].append(review)
    return {name: together(own) for name, own in by_clip.items()}


def together(reviews: Sequence[ReviewRow]) -> Reviewed:
    """Several reviewers' decisions on one clip: everybody has one vote, however many emotions share it."""
    votes = []
    for review in reviews:
        total = sum(review.weights.values())
        votes += [
            Vote(annotator=review.annotator, emotion=emotion, weight=weight / total)
            for emotion, weight in review.weights.items()
            if review.decision is not Decision.CANNOT_TELL
        ]
    return Reviewed(majority(votes), tuple(shares_of(votes).items()), tuple(reviews))


def _row_of_today(
    row: ClipRow, reviewed: Reviewed | None, votes: Sequence[VoteRow], soft: bool
) -> ClipRow | None:
    if reviewed is None:
        shares = tuple(shares_of(as_votes(votes)).items())
        return replace(row, votes=shares) if soft and row.emotion is not None and len(shares) > 1 else row
    if not reviewed.shares:
        return None
    return replace(
        row,
        emotion=reviewed.emotion,
        split=Split.UNLABELLED if reviewed.emotion is None else Split.TRAIN,
        votes=reviewed.shares if soft and reviewed.emotion is not None and len(reviewed.shares) > 1 else None,
        label_source=REVIEWED,
    )


def as_votes(rows: Iterable[VoteRow]) -> list[Vote]:
    """Stored votes as the library has them."""
    return [Vote(**row._asdict()) for row in rows]


def as_rows(votes: Iterable[Vote]) -> list[VoteRow]:
    """Votes as they are stored."""
    return [VoteRow(vote.annotator, vote.emotion, vote.weight, vote.valence) for vote in votes]


def reviewed_count(members: Iterable[object]) -> int:
    """How many labels of a snapshot's members are reviewers'."""
    return sum(
        getattr(member, "label_source", None) == REVIEWED and getattr(member, "emotion", None) is not None
        for member in members
    )


def changed_votes(
    stored: Mapping[str, Sequence[VoteRow]], said: Mapping[str, Sequence[VoteRow]]
) -> dict[str, Sequence[VoteRow]]:
    """Clip -> votes of those whose votes are others than are stored; none: they have gone."""
    names = {*stored, *said}
    return {
        name: list(said.get(name, ()))
        for name in sorted(names)
        if list(stored.get(name, ())) != list(said.get(name, ()))
    }
