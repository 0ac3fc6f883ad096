"""Where an alignment can help: few labelled speakers, and none at all (reconstruction).

With labels of many speakers the trained side learns from them whatever the anchor could tell. With few it has the
anchor's space, which was learnt without labels: `few_labelled` trains the same classifier on the vectors before and after
the alignment, with the labels of some training speakers alone. `zero_shot` uses no label of the trained side: a classifier
of the anchor (of sound) is asked about embeddings of the trained side (of faces), as both lie in one space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.alignment.probing import DEFAULT_STRENGTH

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LabelledClips:
    """Who is labelled, and what is asked; row i is clip i everywhere."""

    emotion: NDArray[np.int64]
    """(clips,) class, -1 unlabelled."""
    speaker: Sequence[str | None]
    """(clips,)"""
    known: Rows
    """Clips that the alignment was fitted on or chosen by; scaling follows all of them, labels those that have one."""
    scored: Rows
    """Labelled clips of held-out speakers."""

    @property
    def labelled(self) -> Rows:
        """The known clips with a label."""
        return self.known[self.emotion[self.known] >= 0]

    @property
    def speakers(self) -> list[str]:
        """Speakers of the labelled known clips; clips of unknown speakers are left out."""
        return sorted({name for row in self.labelled.tolist() if (name := self.speaker[row]) is not None})

    @property
    def classes(self) -> int:
        """Classes among the labelled known clips."""
        return len(set(self.emotion[self.labelled].tolist()))


def zero_shot(anchor: Vectors, trained: Vectors, clips: LabelledClips) -> NDArray[np.bool_]:
    """(scored,) whether a classifier of the anchor is right about the trained side.

    Args:
        anchor: (clips, E) embeddings of the anchor. trained: (clips, E) embeddings of the trained side, each standardised by
        its own known clips. clips: labels.
    """
    predicted = _classified(
        _scaled(anchor, clips.known), _scaled(trained, clips.known), clips.labelled, clips
    )
    return np.asarray(predicted == clips.emotion[clips.scored])


def few_labelled(
    values: Mapping[str, Vectors], clips: LabelledClips, speakers: int, draws: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """System -> (scored,) share of draws in which a classifier with the labels of so few speakers is right.

    Args:
        values: system -> (clips, features); all systems see the same draws.
        clips: labels. speakers: labelled speakers of a draw. draws: of the speakers. seed: of the draws.

    Returns:
        Empty where there are not more labelled speakers than that.
    """
    names = clips.speakers
    if len(names) <= speakers:
        return {}
    scaled = {name: _scaled(own, clips.known) for name, own in values.items()}
    right = {name: np.zeros(len(clips.scored)) for name in values}
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        chosen = set(rng.choice(names, speakers, replace=False).tolist())
        rows = np.array(
            [row for row in clips.labelled.tolist() if clips.speaker[row] in chosen], dtype=np.int64
        )
        for name, own in scaled.items():
            right[name] += _classified(own, own, rows, clips) == clips.emotion[clips.scored]
    return {name: own / draws for name, own in right.items()}


def _scaled(values: Vectors, known: Rows) -> Vectors:
    mean, deviation = values[known].mean(axis=0), values[known].std(axis=0)
    return np.asarray((values - mean) / np.maximum(deviation, 1e-6), dtype=np.float32)


def _classified(fit: Vectors, asked: Vectors, rows: Rows, clips: LabelledClips) -> Rows:
    """Classes of the scored clips by a logistic regression on `rows`; of one class alone, that class."""
    from sklearn.linear_model import LogisticRegression

    labels = clips.emotion[rows]
    if len(set(labels.tolist())) < 2:
        return np.full(len(clips.scored), labels[0] if len(labels) else -1, dtype=np.int64)
    model = LogisticRegression(C=DEFAULT_STRENGTH, max_iter=1000).fit(fit[rows], labels)
    return np.asarray(model.predict(asked[clips.scored]), dtype=np.int64)
