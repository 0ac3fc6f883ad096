"""Views of a data set: who trains, who chooses, who is scored, for every outer fold and for the model that is served.

A view never shows the labels of the clips it will be scored on: `Partition.visible` blanks them, so a stage that fits on a view
cannot choose by its test fold even by mistake. The view `final` trains on all folds and leaves only the holdout (`split=test`).
Canary clips (`split=canary`) are in no view: their true labels watch over self-training.

Clips of equal content (under other names) count as one: a view trains on no content that it is scored on, chooses by, or is
watched over by, whatever the folds say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mer.examples import Examples
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
    """Clips without a gold label, of no speaker and no content that is tested, watched over or chosen by (in this view, the
    holdout or the canary): alignment and pseudo-labels may use them."""
    canary: NDArray[np.bool_]
    """True labels that no view trains on, chooses by or is scored on; the same clips in every view, hidden as test labels are."""

    @property
    def unsupervised(self) -> NDArray[np.bool_]:
        """Clips whose media (not labels) may be trained on: everything but the test clips and the validation clips."""
        return self.train | self.unlabelled

    @property
    def predicted(self) -> NDArray[np.bool_]:
        """Clips that a model of this view is asked for: all whose gold labels, if any, it did not learn."""
        return self.test | self.validation | self.canary | self.unlabelled

    def visible(self, examples: Examples) -> Examples:
        """The examples with every label blanked that this view may not see: all but train and validation."""
        hidden = ~(self.train | self.validation)
        emotion, valence = examples.emotion.copy(), examples.valence.copy()
        emotion[hidden] = -1
        valence[hidden] = np.nan
        return replace(examples, emotion=emotion, valence=valence)

    def digest(self, examples: Examples, *, unlabelled: bool) -> str:
        """Hash of what a stage on this view depends on: names, contents, visible labels and roles of its clips.

        `unlabelled`: those clips too.
        """
        seen = self.visible(examples)
        keep = self.train | self.validation | (self.unlabelled if unlabelled else False)
        rows = sorted(
            f"{examples.clip_ids[i]}|{examples.content_of(int(i))}|{seen.emotion[i]}|{seen.valence[i]:.6g}|"
            f"{int(self.train[i])}{int(self.validation[i])}{_target_text(seen, int(i))}"
            for i in np.flatnonzero(keep)
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _target_text(examples: Examples, row: int) -> str:
    """A visible soft target, as the digest has it; nothing where the label is hard."""
    if examples.target is None or examples.emotion[row] < 0 or np.isnan(examples.target[row]).any():
        return ""
    return "|" + ",".join(f"{value:.6g}" for value in examples.target[row])


def partitions(
    examples: Examples,
    holdout: NDArray[np.bool_],
    *,
    validation_share: float,
    seed: int,
    canary: NDArray[np.bool_] | None = None,
) -> Mapping[str, Partition]:
    """One partition per outer fold (`fold0`, ...) and `final`.

    Args:
        examples: all clips; `fold` >= 0 marks clips of the cross-validation.
        holdout: (clips,) the fixed test split that no view trains on.
        validation_share: share of the training clips held out by speaker inside each view.
        seed: seed of the validation draw.
        canary: (clips,) true labels that watch over self-training; none: no such clips.
    """
    watched = np.zeros(len(examples), dtype=bool) if canary is None else canary & ~holdout
    apart = holdout | watched
    equal = of_content(examples, apart)
    labelled = (examples.emotion >= 0) & (examples.fold >= 0) & ~apart & ~equal
    unlabelled = (
        (examples.emotion < 0) & ~apart & ~equal & ~of_speakers(examples, speakers_of(examples, apart))
    )
    nobody = np.zeros(len(examples), dtype=bool)
    views: dict[str, Partition] = {}
    for fold in sorted({int(fold) for fold in examples.fold[labelled]}):
        test = labelled & (examples.fold == fold)
        training = labelled & ~test & ~of_content(examples, test)  # published folds may cut a content apart
        whole = Partition(f"fold{fold}", training, nobody, test, unlabelled, watched)
        views[whole.view] = _validated(whole, examples, validation_share, seed)
    whole = Partition(FINAL_VIEW, labelled, nobody, holdout, unlabelled, watched)
    views[FINAL_VIEW] = _validated(whole, examples, validation_share, seed)
    return views


def _validated(whole: Partition, examples: Examples, share: float, seed: int) -> Partition:
    """The view with validation speakers drawn out of its training clips, and without unlabelled clips that touch them."""
    validation = inner_validation(
        examples.speaker, examples.clip_ids, examples.emotion, whole.train, share, seed, examples.content
    )
    train = whole.train & ~validation
    # a corpus of one speaker is validated by clips: then there is nobody to keep apart
    chosen_by = speakers_of(examples, validation) - speakers_of(examples, train)
    usable = whole.unlabelled & ~of_speakers(examples, speakers_of(examples, whole.test) | chosen_by)
    usable &= ~of_content(examples, whole.test | validation)
    return replace(whole, train=train, validation=validation, unlabelled=usable)


def speakers_of(examples: Examples, clips: NDArray[np.bool_]) -> set[str]:
    """Known speakers of these clips."""
    return {speaker for i in np.flatnonzero(clips) if (speaker := examples.speaker[i]) is not None}


def of_speakers(examples: Examples, speakers: set[str]) -> NDArray[np.bool_]:
    """(clips,) whose speaker is one of these."""
    return np.array([speaker in speakers for speaker in examples.speaker], dtype=bool)


def of_content(examples: Examples, clips: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(clips,) whose content is that of one of these clips, these included; unknown contents equal none."""
    if not examples.content:
        return np.zeros(len(examples), dtype=bool)
    contents = {examples.content[i] for i in np.flatnonzero(clips)} - {""}
    return np.array([content in contents for content in examples.content], dtype=bool)
