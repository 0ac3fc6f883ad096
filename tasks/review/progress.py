"""How far a review is: decisions, agreement with what was shown, by whom, and what the reviewed labels gave."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from infra.catalogue import Decision, ModelVersionRow, ReviewRow
from infra.errors import InfraError
from mer.errors import MerError
from tasks.data.reviewed import reviewed_count
from tasks.serve.comparison import compare_versions
from tasks.stage.workspace import Workspace


@dataclass(frozen=True)
class ReviewCounts:
    """Standing decisions of one annotator, or of all."""

    decisions: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    agreed: int = 0
    """Accepted, of `compared`."""
    compared: int = 0
    """Decisions on clips of which something was thought, but for those that nobody can tell."""
    seconds: float | None = None
    """Median from showing a clip to the decision."""

    @property
    def agreement(self) -> float | None:
        """Share of decisions that accept what was shown; None: there are none to compare."""
        return self.agreed / self.compared if self.compared else None


@dataclass(frozen=True)
class ReviewProgress:
    """Where a corpus' review stands."""

    corpus: str
    all: ReviewCounts
    by_annotator: dict[str, ReviewCounts]
    taken_back: int
    last: ReviewRow | None


def review_progress(space: Workspace, corpus: str) -> ReviewProgress:
    """Count the decisions on a corpus that stand."""
    standing = space.catalogue.standing_reviews(corpus)
    by_annotator: defaultdict[str, list[ReviewRow]] = defaultdict(list)
    for row in standing:
        by_annotator[row.annotator].append(row)
    undone = sum(row.decision is Decision.UNDO for row in space.catalogue.reviews(corpus))
    counts = {who: _counts(own) for who, own in sorted(by_annotator.items())}
    return ReviewProgress(corpus, _counts(standing), counts, undone, standing[-1] if standing else None)


def _counts(rows: Sequence[ReviewRow]) -> ReviewCounts:
    compared = [row for row in rows if row.shown.get("emotion") and row.decision is not Decision.CANNOT_TELL]
    agreed = sum(row.decision is Decision.ACCEPT for row in compared)
    times = [row.seconds for row in rows if row.seconds is not None]
    kinds = dict(sorted(Counter(row.decision.value for row in rows).items()))
    return ReviewCounts(len(rows), kinds, agreed, len(compared), float(np.median(times)) if times else None)


@dataclass(frozen=True)
class ReviewGain:
    """What a version with more reviewed labels gave against one with fewer, on clips that neither was trained on."""

    version: int
    against: int
    labels: int
    """Reviewed labels that the later one has more."""
    gain: float
    """Difference of weighted F1."""
    low: float
    high: float
    """95 % interval, paired by speaker."""

    @property
    def per_label(self) -> float:
        """Gain of weighted F1 for each reviewed label."""
        return self.gain / self.labels

    def line(self) -> str:
        """For people. Other things may have changed between the two as well."""
        return (
            f"version {self.version} learnt {self.labels} reviewed labels more than version {self.against}: WAF (weighted F1) "
            f"{self.gain:+.4f} (95 % {self.low:+.4f} to {self.high:+.4f}), {self.per_label:+.5f} a label"
        )


def review_gain(space: Workspace, model: str) -> ReviewGain | None:
    """The gain of the last version over the last one with fewer reviewed labels of its corpus; None: nothing to compare.

    Where the two cannot be compared (no clip that neither was trained on, an evaluation that is gone) there is none either.
    """
    rows = sorted(space.catalogue.model_versions(model), key=lambda row: row.version, reverse=True)
    counted = [
        (row, _reviewed_labels(space, row)) for row in rows if row.retired_at is None and row.snapshot_id
    ]
    if not counted:
        return None
    (last, count), *earlier = counted
    corpus = space.catalogue.corpus_of(last)
    for row, before in earlier:
        if before < count and space.catalogue.corpus_of(row) == corpus:
            try:
                compared = compare_versions(space, last, row)
            except (MerError, InfraError, LookupError):
                return None
            (score,) = [score for score in compared.scores if score.name == "WAF"]
            return ReviewGain(
                last.version, row.version, count - before, score.difference, score.low, score.high
            )
    return None


def _reviewed_labels(space: Workspace, row: ModelVersionRow) -> int:
    return reviewed_count(space.catalogue.snapshot_members(str(row.snapshot_id)))
