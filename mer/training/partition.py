"""Views of a data set: who trains, who chooses, who is scored, for every outer fold and for the model that is served.

A view never shows the labels of the clips it will be scored on: `Partition.visible` blanks them, so a stage that fits on a view
cannot choose by its test fold even by mistake. The view `final` trains on all folds and leaves only the holdout (`split=test`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mer.training.examples import Examples
from mer.training.folds import inner_validation

FINAL_VIEW = "final"


@dataclass(frozen=True)
class Partition:
    """Masks over the clips of a data set; all of shape (clips,), disjoint where their names say so."""

    view: str
    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    """Whole speakers held out inside the training folds: early stopping and every choice."""
    test: NDArray[np.bool_]
    """Scored once, by the evaluator; labels are not visible to the view."""
    unlabelled: NDArray[np.bool_]
    """Clips without a gold label, of no speaker who is tested: alignment and pseudo-labels may use them."""

    @property
    def unsupervised(self) -> NDArray[np.bool_]:
        """Clips whose media (not labels) may be trained on: everything but the test clips and the validation clips."""
        return self.train | self.unlabelled

    def visible(self, examples: Examples) -> Examples:
        """The examples with every label blanked that this view may not see: all but train and validation."""
        hidden = ~(self.train | self.validation)
        emotion, valence = examples.emotion.copy(), examples.valence.copy()
        emotion[hidden] = -1
        valence[hidden] = np.nan
        return replace(examples, emotion=emotion, valence=valence)

    def digest(self, examples: Examples, *, unlabelled: bool) -> str:
        """Hash of what a stage on this view depends on: clip ids, visible labels and roles (`unlabelled`: those clips too)."""
        seen = self.visible(examples)
        keep = self.train | self.validation | (self.unlabelled if unlabelled else False)
        rows = sorted(
            f"{examples.clip_ids[i]}|{seen.emotion[i]}|{seen.valence[i]:.6g}|{int(self.train[i])}{int(self.validation[i])}"
            for i in np.flatnonzero(keep)
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def partitions(
    examples: Examples, holdout: NDArray[np.bool_], *, validation_share: float, seed: int
) -> Mapping[str, Partition]:
    """One partition per outer fold (`fold0`, ...) and `final`.

    Args:
        examples: all clips; `fold` >= 0 marks clips of the cross-validation.
        holdout: (clips,) the fixed test split that no view trains on.
        validation_share: share of the training clips held out by speaker inside each view.
        seed: seed of the validation draw.
    """
    labelled = (examples.emotion >= 0) & (examples.fold >= 0) & ~holdout
    unlabelled = (examples.emotion < 0) & ~holdout
    views: dict[str, Partition] = {}
    for fold in sorted({int(fold) for fold in examples.fold[labelled]}):
        test = labelled & (examples.fold == fold)
        views[f"fold{fold}"] = _view(
            f"fold{fold}", examples, labelled & ~test, test, unlabelled, validation_share, seed
        )
    views[FINAL_VIEW] = _view(FINAL_VIEW, examples, labelled, holdout, unlabelled, validation_share, seed)
    return views


def _view(
    name: str,
    examples: Examples,
    training: NDArray[np.bool_],
    test: NDArray[np.bool_],
    unlabelled: NDArray[np.bool_],
    share: float,
    seed: int,
) -> Partition:
    validation = inner_validation(
        examples.speaker, examples.clip_ids, examples.emotion, training, share, seed
    )
    tested = {examples.speaker[i] for i in np.flatnonzero(test)} - {None}
    own = unlabelled & np.array([speaker not in tested for speaker in examples.speaker], dtype=bool)
    return Partition(
        view=name, train=training & ~validation, validation=validation, test=test, unlabelled=own
    )
