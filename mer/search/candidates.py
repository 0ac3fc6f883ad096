"""Candidates of a search: each is trained on every inner split, side by side with the others, and judged by the mean.

A candidate's models are fits of `mer.fusion.fit` like any other, taken one epoch at a time: what is judged is, bit for bit,
what a run of its options trains. Frames are large: those that several views read are held once, in a store that the views share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from mer.errors import DivergedError
from mer.examples import Examples
from mer.fusion.config import FusionConfig
from mer.fusion.fit import started_model, training_data
from mer.fusion.frames import FrameStore
from mer.fusion.streams import StreamTable, standardisation_of, stream_batch
from mer.fusion.train import FusionTraining, TrainingData
from mer.training.partition import Partition

Prune = Callable[[int, Mapping[int, float]], Sequence[int]]
"""(epoch, mean score of every candidate still training) -> candidates to give up."""


@dataclass(frozen=True)
class SearchView:
    """The clips that the models of one inner split learn from and are judged on, and nothing else."""

    name: str
    data: TrainingData
    widths: Mapping[str, int]
    """Stream -> features."""
    classes: int


@dataclass(frozen=True)
class Candidate:
    """One choice of options, and the views of its features."""

    config: FusionConfig
    views: tuple[SearchView, ...]


@dataclass(frozen=True)
class Judged:
    """What became of a candidate."""

    score: float
    """Mean weighted F1 of its best epochs on the validation clips; 0 counts for a model that was never finite."""
    pruned: bool
    epochs: int
    """Trained, over its models."""
    left: tuple[str, ...]
    """Why each of its models ended: `epochs`, `patience`, `pruned`, or `diverged: ...`."""


def search_view(
    examples: Examples,
    partition: Partition,
    tables: Mapping[str, StreamTable],
    classes: int,
    stores: Mapping[str, FrameStore] | None = None,
) -> SearchView:
    """The train and validation clips of a view, and nothing else: what a search may see.

    Args:
        examples: all clips, in the partition's order.
        partition: roles of the clips; those of the test fold are not copied.
        tables: stream -> vectors or frames of the clips that train or validate, in the order of `examples`.
        classes: number of classes.
        stores: framewise stream -> where its frames are held. A store may be shared with views that read the same frames;
            it then holds clips of this view's test fold too, but no row of this view leads to them.
    """
    keep = np.flatnonzero(partition.train | partition.validation)
    shown = partition.visible(examples).subset(keep)
    train, validation = partition.train[keep], partition.validation[keep]
    scales = {name: standardisation_of(name, table, train) for name, table in tables.items()}
    streams = stream_batch(tables, scales, len(shown), stores)
    widths = {name: len(scale.mean) for name, scale in scales.items()}
    data = training_data(streams, shown, train, validation, classes)
    return SearchView(partition.view, data, widths, classes)


def train_candidates(candidates: Sequence[Candidate], prune: Prune | None = None) -> list[Judged]:
    """Train all models of all candidates side by side, an epoch of each in turn; none depends on another but for pruning.

    Args:
        candidates: to be judged.
        prune: asked after every epoch; a candidate is given up with all its models.
    """
    fits = [[_Fit(candidate.config, view) for view in candidate.views] for candidate in candidates]
    epoch = 0
    while training := [number for number, folds in enumerate(fits) if any(not fit.left for fit in folds)]:
        epoch += 1
        for fit in (fit for number in training for fit in fits[number] if not fit.left):
            fit.run_epoch()
        scores = {n: _mean(fits[n]) for n in training if any(not fit.left for fit in fits[n])}
        for number in prune(epoch, scores) if prune is not None and scores else ():
            for fit in fits[number]:
                fit.give_up()
    return [
        Judged(
            score=_mean(folds),
            pruned=any(fit.left == "pruned" for fit in folds),
            epochs=sum(fit.epochs for fit in folds),
            left=tuple(fit.left for fit in folds),
        )
        for folds in fits
    ]


class _Fit:
    """A fit of a candidate on one view, and how it ended; its memory is released then."""

    def __init__(self, config: FusionConfig, view: SearchView) -> None:
        model = started_model(view.data, view.widths, view.classes, config)
        self._training: FusionTraining | None = FusionTraining(model, view.data, config)
        self.left = ""
        self.epochs = 0
        self.score = math.nan

    def run_epoch(self) -> None:
        """Train on, and see whether that was the last epoch."""
        assert self._training is not None
        self.epochs += 1
        try:
            self._training.run_epoch()
        except DivergedError as error:
            self._leave(f"diverged: {error}")
            return
        self.score = self._training.state.best_score
        if self._training.ended:
            self._leave(self._training.ended)

    def give_up(self) -> None:
        """Do not train on."""
        if not self.left:
            self._leave("pruned")

    def _leave(self, why: str) -> None:
        self.left, self._training = why, None


def _mean(fits: Sequence[_Fit]) -> float:
    return fmean(0.0 if math.isnan(fit.score) else fit.score for fit in fits)
