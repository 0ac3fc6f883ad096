"""An ensemble searched inside training clips: who takes part and with which weight, by inner speaker-independent folds.

The procedure sees the labels of the clips to learn from and no others (`seen_by`), and within an inner fold a candidate is not
even shown the labels of the clips it predicts. Every choice follows from the candidates' out-of-fold posteriors:
temperatures, bagged greedy weights, the temperature of the mixture. What is chosen is trained again on all training clips.

    families = [KernelFamily(streams, {"wide": KernelMember(streams={"speech": 1.0, "face": 0.1}, width=0.5), ...}, classes)]
    searched = search_ensemble(families, examples, learn)
    posteriors = searched.ensemble.combine(predict_searched(families, examples, learn, target, searched.retrained))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.bagged import BaggedSelection, bagged_weights
from mer.ensemble.combine import tempered
from mer.ensemble.ensemble import Ensemble
from mer.ensemble.family import Family, names_of, predict_all
from mer.errors import ConfigError
from mer.evaluation.calibration import fit_temperature
from mer.examples import Examples
from mer.posteriors import Posteriors
from mer.training.folds import assign_folds

Mask = NDArray[np.bool_]
Progress = Callable[[int, int], None]
"""Called with (parts done, parts in all)."""


@dataclass(frozen=True)
class SearchedEnsemble:
    """Result of a search: the ensemble, and the evidence for it."""

    ensemble: Ensemble
    inner_accuracy: Mapping[str, float]
    """Candidate -> accuracy of its out-of-fold posteriors on the training clips."""
    held_out: Posteriors = field(compare=False)
    """Of the procedure on the clips learnt from: each inner fold combined by weights that were selected on the others."""
    accuracy: float
    """Accuracy of the procedure: each inner fold combined by weights that were selected on the others. The candidates'
    posteriors are those of the same inner folds, so it is slightly flattering; the ensemble's own would be more so."""
    models: int
    """Trained in the search."""

    @property
    def best_single(self) -> str:
        """The candidate with the best out-of-fold accuracy; the first of equal ones."""
        return max(self.inner_accuracy, key=lambda name: self.inner_accuracy[name])

    @property
    def retrained(self) -> tuple[str, ...]:
        """Candidates to train again: the ensemble's members and the best single one."""
        return tuple(dict.fromkeys((*self.ensemble.members, self.best_single)))


def seen_by(examples: Examples, learn: Mask) -> Examples:
    """The examples with all labels blanked but those of the clips to learn from."""
    emotion = np.where(learn, examples.emotion, -1)
    valence = np.where(learn, examples.valence, np.nan).astype(np.float32)
    return replace(examples, emotion=emotion, valence=valence)


def search_ensemble(
    families: Sequence[Family],
    examples: Examples,
    learn: Mask,
    *,
    folds: int = 5,
    selection: BaggedSelection | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SearchedEnsemble:
    """Choose an ensemble by inner folds of the clips to learn from.

    Args:
        families: the candidates.
        examples: all clips; labels outside of `learn` are not read.
        learn: (N,) clips to learn from.
        folds: inner folds, whole speakers each.
        selection: how weights are selected.
        seed: seed of the inner folds.
        progress: told after every inner fold.

    Raises:
        ConfigError: no candidates, or too few labelled clips.
    """
    visible = seen_by(examples, learn)
    rows = np.flatnonzero(visible.emotion >= 0)
    names_of(families)
    fold = inner_folds(examples, learn, folds, seed)[rows]
    held_out, models = _out_of_fold(families, visible, rows, fold, progress)
    choose = selection or BaggedSelection()
    truth, speakers = visible.emotion[rows], [visible.speaker[i] for i in rows]
    procedure = selected_elsewhere(held_out, truth, speakers, fold, choose)
    return SearchedEnsemble(
        ensemble=weighted_ensemble(held_out, truth, speakers, choose),
        held_out=procedure,
        inner_accuracy={name: _accuracy(posteriors, truth) for name, posteriors in held_out.items()},
        accuracy=_accuracy(procedure, truth),
        models=models,
    )


def inner_folds(examples: Examples, learn: Mask, folds: int, seed: int = 0) -> NDArray[np.int64]:
    """(N,) inner fold of every labelled clip to learn from, whole speakers each; -1 elsewhere."""
    visible = seen_by(examples, learn)
    rows = np.flatnonzero(visible.emotion >= 0)
    fold = np.full(len(visible), -1, dtype=np.int64)
    learnt = visible.subset(rows)
    fold[rows] = assign_folds(learnt.speaker, learnt.clip_ids, learnt.emotion, folds, seed, learnt.content)
    return fold


def predict_searched(
    families: Sequence[Family], examples: Examples, learn: Mask, target: Mask, candidates: Sequence[str]
) -> Mapping[str, Posteriors]:
    """Train these candidates on all clips to learn from and predict the target clips, whose labels are blanked.

    Raises:
        ConfigError: a clip is both learnt from and a target.
    """
    if (learn & target).any():
        raise ConfigError(
            f"ensemble search: expected clips to learn from apart from the target clips, found "
            f"{int((learn & target).sum())} in both"
        )
    return predict_all(families, seen_by(examples, learn), np.flatnonzero(target), candidates)


def weighted_ensemble(
    held_out: Mapping[str, Posteriors],
    truth: NDArray[np.int64],
    speakers: Sequence[str | None],
    selection: BaggedSelection,
    least: float = 0.0,
) -> Ensemble:
    """Temperatures, bagged weights and the mixture's temperature, fitted on held-out clips.

    Args:
        held_out: candidate -> its posteriors of the same clips, none of which it was trained on.
        truth: (N,) class index, none unlabelled.
        speakers: (N,).
        selection: how weights are selected.
        least: members of less weight are left out, in [0, 1); the largest stays.
    """
    temperatures = {name: fit_temperature(posteriors.logits, truth) for name, posteriors in held_out.items()}
    calibrated = [tempered(posteriors, temperatures[name]) for name, posteriors in held_out.items()]
    weights = bagged_weights(calibrated, truth, speakers, selection)
    kept = np.where(weights >= min(least, weights.max()), weights, 0.0)
    shares = zip(held_out, (kept / kept.sum()).tolist(), strict=True)
    selected = [(name, weight) for name, weight in shares if weight > 0]
    uncalibrated = Ensemble(
        weighting="stacked",
        members=tuple(name for name, _ in selected),
        temperatures={name: temperatures[name] for name, _ in selected},
        weights=tuple(weight for _, weight in selected),
    )
    return replace(uncalibrated, temperature=fit_temperature(uncalibrated.combine(held_out).logits, truth))


def _out_of_fold(
    families: Sequence[Family],
    visible: Examples,
    rows: NDArray[np.int64],
    fold: NDArray[np.int64],
    progress: Progress | None,
) -> tuple[dict[str, Posteriors], int]:
    """Every candidate's posteriors of all labelled clips, in the order of `rows`."""
    names, folds = names_of(families), int(fold.max()) + 1
    fold_posteriors: dict[str, list[Posteriors]] = {name: [] for name in names}
    for number in range(folds):
        target_rows = rows[fold == number]
        learn = np.zeros(len(visible), dtype=bool)
        learn[rows[fold != number]] = True
        for name, posteriors in predict_all(families, seen_by(visible, learn), target_rows, names).items():
            fold_posteriors[name].append(posteriors)
        if progress is not None:
            progress(number + 1, folds)
    order = [visible.clip_ids[i] for i in rows]
    return {
        name: Posteriors.joined(pieces).restricted(order) for name, pieces in fold_posteriors.items()
    }, folds * len(names)


def selected_elsewhere(
    held_out: Mapping[str, Posteriors],
    truth: NDArray[np.int64],
    speakers: Sequence[str | None],
    fold: NDArray[np.int64],
    selection: BaggedSelection,
) -> Posteriors:
    """Each inner fold combined by weights that were selected on the others; arguments as of `weighted_ensemble`.

    Args:
        held_out: candidate -> posteriors.
        truth: (N,).
        speakers: (N,).
        fold: (N,) inner fold of every clip.
        selection: how weights are selected.
    """
    clip_ids = next(iter(held_out.values())).clip_ids
    pieces = []
    for number in range(int(fold.max()) + 1):
        learnt, target_rows = (np.flatnonzero(mask) for mask in (fold != number, fold == number))
        learnt_posteriors, target_posteriors = (
            {
                name: posteriors.restricted([clip_ids[i] for i in where])
                for name, posteriors in held_out.items()
            }
            for where in (learnt, target_rows)
        )
        ensemble = weighted_ensemble(
            learnt_posteriors, truth[learnt], [speakers[i] for i in learnt.tolist()], selection
        )
        pieces.append(ensemble.combine(target_posteriors))
    return Posteriors.joined(pieces).restricted(clip_ids)


def _accuracy(posteriors: Posteriors, truth: NDArray[np.int64]) -> float:
    return float(np.mean(posteriors.predicted == truth))
