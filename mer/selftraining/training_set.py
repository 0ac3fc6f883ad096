"""Training set of a view: its gold labels and the pseudo-labels of live generations, and the hash that names the set."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.examples import Examples
from mer.selftraining.config import SelfTrainingConfig
from mer.selftraining.pseudo_labels import PseudoLabels, union, with_pseudo_labels
from mer.training.partition import Partition


@dataclass(frozen=True)
class TrainingSet:
    """Gold and pseudo-labelled clips of one view."""

    examples: Examples
    """All clips, with the labels that the view may see and the pseudo-labels."""
    train: NDArray[np.bool_]
    """(clips,) what is learnt from."""
    pseudo: NDArray[np.bool_]
    """(clips,) of these, the pseudo-labelled ones."""

    @property
    def pseudo_digest(self) -> str | None:
        """Hash of the pseudo-labels alone, whatever generations they came in; None without any."""
        return self._digest(self.pseudo) if self.pseudo.any() else None

    @property
    def membership(self) -> str:
        """Hash of every clip that is learnt from, with its label and weight."""
        return self._digest(self.train)

    def _digest(self, clips: NDArray[np.bool_]) -> str:
        examples = self.examples
        rows = sorted(
            f"{examples.clip_ids[i]}|{examples.content_of(int(i))}|{examples.emotion[i]}|{examples.valence[i]:.9g}|"
            f"{examples.weight[i]:.9g}|{self._target(int(i))}"
            for i in np.flatnonzero(clips)
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def _target(self, row: int) -> str:
        target = self.examples.target
        return "" if target is None else ",".join(f"{value:.9g}" for value in target[row])


def training_set(
    examples: Examples,
    partition: Partition,
    generations: Sequence[PseudoLabels],
    config: SelfTrainingConfig | None,
) -> TrainingSet:
    """The view's training clips and the labels of these generations.

    A pseudo-label counts only while its clip is an unlabelled clip of the view: one that has got a gold label since, has left
    the corpus, or is of a speaker who is now tested, validated by or watched over, drops out (invariant I10).

    Args:
        examples: with the labels that the view may see.
        partition: the view.
        generations: the view's own selections, oldest first.
        config: how pseudo-labels weigh; not read without generations.
    """
    none = np.zeros(len(examples), dtype=bool)
    labels = union(generations)
    if labels is None or config is None:
        return TrainingSet(examples, partition.train, none)
    position = {clip_id: row for row, clip_id in enumerate(examples.clip_ids)}
    at = np.array([position.get(clip_id, -1) for clip_id in labels.clip_ids], dtype=np.int64)
    usable = np.flatnonzero((at >= 0) & partition.unlabelled[at])
    if not len(usable):
        return TrainingSet(examples, partition.train, none)
    pseudo = none.copy()
    pseudo[at[usable]] = True
    learnt = with_pseudo_labels(examples, labels.subset(usable), config)
    return TrainingSet(learnt, partition.train | pseudo, pseudo)


def candidates(
    examples: Examples, partition: Partition, considered: Collection[str], set_aside: Collection[str]
) -> tuple[str, ...]:
    """Clips of a view that may be voted on: unlabelled ones that no live generation considered and nobody set aside."""
    gone = set(considered) | set(set_aside)
    return tuple(
        clip_id
        for row in np.flatnonzero(partition.unlabelled)
        if (clip_id := examples.clip_ids[row]) not in gone
    )


def usable_in(seen: Collection[str], examples: Examples, partition: Partition) -> bool:
    """Whether a generation's voters saw no label of a test or canary clip of this view, nor of its content.

    Folds can be dealt anew when gold labels arrive; a label voted by a model that learnt from what is now a test fold would
    carry it into training.
    """
    names = set(seen)
    contents = {examples.content_of(row) for row, name in enumerate(examples.clip_ids) if name in names}
    contents.discard("")
    return not any(
        examples.clip_ids[row] in names or examples.content_of(row) in contents
        for row in np.flatnonzero(partition.test | partition.canary).tolist()
    )
