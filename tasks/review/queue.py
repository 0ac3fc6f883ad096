"""The queue of a model version: clips that wait for a person, in an order, with what is thought of each so far.

Asked are clips of the training and unlabelled parts whose contents are neither tested nor watched over. Probabilities are those
of models that have not learnt the label in question: out of fold for labelled clips, by the supervised system for all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infra.artifacts import ArtifactRef
from infra.catalogue import ClipRow, GenerationState, ModelVersionRow
from infra.errors import ArtifactMissing
from mer.clips import Split
from mer.errors import ConfigError
from mer.predictor.package import RECORD, ModelPackage
from mer.review.label_errors import find_label_errors
from mer.review.orders import Order, entropy, expected_change, ranked, shuffled
from tasks.data.reviewed import counting_reviews
from tasks.serve.evaluation_files import OUT_OF_FOLD, UNLABELLED
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.posteriors import Posteriors

PSEUDO, GOLD, MODEL = "pseudo", "gold", "model"
"""What an opinion comes from: a pseudo-label that is learnt, the corpus owner's label, the model alone."""


@dataclass(frozen=True, kw_only=True)
class QueueItem:
    """A clip that waits for a person."""

    name: str
    content: str
    path: Path
    has_audio: bool
    has_video: bool
    transcript: str | None
    emotion: str | None
    """What is thought of it so far, to accept or correct; None: no model has been asked yet."""
    source: str
    """`pseudo`, `gold` or `model`."""
    confidence: float | None
    """Calibrated probability of `emotion`, in [0, 1]."""
    probabilities: Mapping[str, float]
    """Emotion -> calibrated probability; empty where no model has been asked."""
    score: float
    """What the order goes by; the higher, the earlier."""
    likely_wrong: bool = False
    """Whether confident learning takes the owner's label for wrong."""

    @property
    def shown(self) -> dict[str, object]:
        """What a decision notes of what the reviewer saw."""
        return {"emotion": self.emotion, "source": self.source, "confidence": self.confidence}


@dataclass(frozen=True)
class ReviewQueue:
    """Clips that wait, the first one first."""

    model: str
    version: int
    corpus: str
    emotions: tuple[str, ...]
    order: Order
    items: tuple[QueueItem, ...]
    asked: int
    """Clips that the order is made of: `items` and those that are reviewed already."""
    unknown: int
    """Clips of `items` that came after the version, or whose speaker it holds out: no model was asked, and they come last."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(item.name for item in self.items)


def review_queue(space: Workspace, version: ModelVersionRow, order: Order) -> ReviewQueue:
    """The queue of a version as it is now.

    Raises:
        ConfigError: the version has no snapshot or evaluation, or was registered before evaluations held what a queue needs.
        ArtifactMissing, ArtifactCorrupt: its evaluation is gone.
    """
    if version.snapshot_id is None or version.evaluation is None:
        raise ConfigError(
            f"{version.name} version {version.version}: expected a version with a snapshot and an evaluation to order clips by, "
            "found one without; `mer run` registers such"
        )
    corpus = space.catalogue.corpus_of(version)
    if corpus is None:
        raise ConfigError(
            f"{version.name} version {version.version}: the snapshot that it was trained on is not kept any more"
        )
    package = ModelPackage.parse(space.artifacts.read(version.artifact, RECORD))
    rows = space.catalogue.clips(corpus)
    learnt = {member.name: member.content for member in space.catalogue.snapshot_members(version.snapshot_id)}
    asked = _Asked(space, version, version.evaluation, package, corpus, learnt)
    judged = {row.content for row in rows if row.split in (Split.TEST, Split.CANARY)}
    free = [row for row in rows if row.content not in judged]
    reviewed = counting_reviews(rows, space.catalogue.standing_reviews(corpus))
    make = _labelled if order is Order.ERRORS else _unlabelled
    items = make(asked, free, order)
    waiting = tuple(item for item in items if item.name not in reviewed)
    return ReviewQueue(
        version.name,
        version.version,
        corpus,
        package.recipe.emotions,
        order,
        waiting,
        len(items),
        sum(not item.probabilities for item in waiting),
    )


@dataclass(frozen=True)
class _Asked:
    """A version, and where its answers lie."""

    space: Workspace
    version: ModelVersionRow
    evaluation: ArtifactRef
    package: ModelPackage
    corpus: str
    learnt: Mapping[str, str]
    """Clip -> content, of the version's snapshot."""

    def answers(self, file: str, temperature: float) -> dict[str, NDArray[np.float64]]:
        """Clip -> calibrated probabilities."""
        from mer.posteriors import Posteriors

        try:
            stored: Posteriors = Posteriors.from_parquet(self.space.artifacts.read(self.evaluation, file))
        except (KeyError, ArtifactMissing) as error:
            raise ConfigError(
                f"{self.version.name} version {self.version.version}: expected answers for unlabelled clips in its evaluation, "
                f"found none ({error}): it was registered by an earlier release; the next `mer run` adds them"
            ) from error
        return dict(zip(stored.clip_ids, stored.probabilities(temperature), strict=True))


def _unlabelled(asked: _Asked, rows: Sequence[ClipRow], order: Order) -> list[QueueItem]:
    """Clips without an owner's label, by an order."""
    answers = asked.answers(UNLABELLED, 1.0)
    emotions = asked.package.recipe.emotions
    pseudo = _pseudo_labels(asked)
    known: list[ClipRow] = []
    new: list[ClipRow] = []
    for row in rows:
        if row.emotion is None:
            fresh = row.name in answers and asked.learnt.get(row.name) == row.content
            (known if fresh else new).append(row)
    probabilities = np.array([answers[row.name] for row in known]).reshape(len(known), len(emotions))
    labels = [pseudo.get((row.name, row.content)) for row in known]
    learnt = np.array([emotions.index(label[0]) if label else -1 for label in labels], dtype=np.int64)
    weight = np.array([label[1] if label else 0.0 for label in labels])
    scorers: dict[Order, Callable[[], NDArray[np.float64]]] = {
        Order.UNCERTAINTY: lambda: entropy(probabilities),
        Order.INFLUENCE: lambda: expected_change(probabilities, learnt, weight),
        Order.RANDOM: lambda: np.zeros(len(known)),
    }
    scores = scorers[order]() if known else np.zeros(0)
    names = [row.name for row in known]
    rank = shuffled(names, asked.version.version) if order is Order.RANDOM else ranked(names, scores)
    items = []
    for place in rank:
        thought = int(learnt[place]) if learnt[place] >= 0 else int(probabilities[place].argmax())
        source = PSEUDO if learnt[place] >= 0 else MODEL
        items.append(
            _item(known[place], emotions, probabilities[place], thought, (source, float(scores[place])))
        )
    return items + [_unknown(row) for row in sorted(new, key=lambda row: row.name)]


def _labelled(asked: _Asked, rows: Sequence[ClipRow], order: Order) -> list[QueueItem]:
    """Clips with an owner's label, likely wrong ones first, then by how little the model thinks of the label."""
    answers = asked.answers(OUT_OF_FOLD, asked.package.temperature)
    emotions = asked.package.recipe.emotions
    known = [
        row
        for row in rows
        if row.emotion in emotions and row.name in answers and asked.learnt.get(row.name) == row.content
    ]
    if not known:
        return []
    probabilities = np.array([answers[row.name] for row in known])
    labels = np.array([emotions.index(str(row.emotion)) for row in known], dtype=np.int64)
    found = find_label_errors(probabilities, labels)
    scores = found.likely_wrong + (1 - found.label_probability)
    return [
        replace(
            _item(
                known[place], emotions, probabilities[place], int(labels[place]), (GOLD, float(scores[place]))
            ),
            likely_wrong=bool(found.likely_wrong[place]),
        )
        for place in ranked([row.name for row in known], scores)
    ]


def _item(
    row: ClipRow,
    emotions: Sequence[str],
    probabilities: NDArray[np.float64],
    thought: int,
    origin: tuple[str, float],
) -> QueueItem:
    source, score = origin
    return replace(
        _unknown(row),
        emotion=emotions[thought],
        source=source,
        confidence=float(probabilities[thought]),
        probabilities=dict(zip(emotions, map(float, probabilities), strict=True)),
        score=score,
    )


def _unknown(row: ClipRow) -> QueueItem:
    """A clip that no model has been asked about."""
    return QueueItem(
        name=row.name,
        content=row.content,
        path=row.path,
        has_audio=row.has_audio,
        has_video=row.has_video,
        transcript=row.transcript,
        emotion=None,
        source=MODEL,
        confidence=None,
        probabilities={},
        score=0.0,
    )


def _pseudo_labels(asked: _Asked) -> dict[tuple[str, str], tuple[str, float]]:
    """(clip, content) -> pseudo-label of a live generation that the version learns from, and its weight."""
    config = asked.package.recipe.pseudo_labels
    found: dict[tuple[str, str], tuple[str, float]] = {}
    for generation in asked.space.catalogue.generations(asked.corpus, states=[GenerationState.LIVE]):
        if generation.key not in asked.package.generations or config is None:
            continue
        for label in asked.space.catalogue.pseudo_labels(generation.key):
            share = label.confidence if config.weighting == "confidence" else 1.0
            found[label.name, label.content] = label.emotion, config.weight * share
    return found
