"""Candidates of a search as models of one stack: a candidate is trained on every inner split and judged by the mean.

Frames are large: those that several views read are held once, in a store that the views share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch

from mer.examples import Examples
from mer.features.dataset import FeatureTable, RaggedTable
from mer.fusion.config import FusionConfig
from mer.fusion.streams import StreamTable, flat_values
from mer.stack.data import StackData, StackView
from mer.stack.frames import FrameStore
from mer.stack.state import ModelPlan
from mer.stack.train import train_stack
from mer.training.partition import Partition

Prune = Callable[[int, Mapping[int, float]], Sequence[int]]
"""(epoch, mean score of every candidate still training) -> candidates to give up."""


@dataclass(frozen=True)
class Candidate:
    """One choice of options, and the views of its features."""

    config: FusionConfig
    views: tuple[StackView, ...]


@dataclass(frozen=True)
class Judged:
    """Outcome of a candidate."""

    score: float
    """Mean weighted F1 of its best epochs on the validation clips; 0 counts for a model that was never finite."""
    pruned: bool
    epochs: int
    """Trained, over its models."""
    left: tuple[str, ...]
    """Why each of its models ended."""


def search_view(
    examples: Examples,
    partition: Partition,
    tables: Mapping[str, StreamTable],
    classes: int,
    stores: Mapping[str, FrameStore] | None = None,
) -> StackView:
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
    visible = partition.visible(examples).subset(keep)
    shared = stores or {}
    target = visible.distributions(classes)
    data = StackData(
        values={
            name: torch.from_numpy(flat_values(name, table))
            for name, table in tables.items()
            if isinstance(table, FeatureTable)
        },
        present={
            name: torch.from_numpy(np.asarray(table.present, dtype=bool)) for name, table in tables.items()
        },
        emotion=torch.from_numpy(visible.emotion),
        valence=torch.from_numpy(visible.valence),
        weight=torch.from_numpy(visible.weight),
        classes=classes,
        frames={
            name: shared.get(name, FrameStore()).add(name, table)
            for name, table in tables.items()
            if isinstance(table, RaggedTable)
        },
        target=None if target is None else torch.from_numpy(target),
    )
    return data.view(partition.view, partition.train[keep], partition.validation[keep])


def train_candidates(
    candidates: Sequence[Candidate], prune: Prune | None = None, *, device: str = "cpu"
) -> list[Judged]:
    """Train all models of all candidates side by side.

    Args:
        candidates: to be judged.
        prune: asked after every epoch; a candidate is given up with all its models.
        device: where to train.

    Raises:
        ConfigError: a fusion model that cannot be stacked.
    """
    plans = [ModelPlan(candidate.config, view) for candidate in candidates for view in candidate.views]
    owner = [number for number, candidate in enumerate(candidates) for _ in candidate.views]
    latest: dict[int, float] = {}

    def after_epoch(epoch: int, best: Mapping[int, float]) -> list[int]:
        latest.update(best)
        training = sorted({owner[index] for index in best})
        scores = {
            number: _mean([latest.get(i, 0.0) for i, of in enumerate(owner) if of == number])
            for number in training
        }
        given_up = set(prune(epoch, scores)) if prune is not None and scores else set()
        return [index for index in best if owner[index] in given_up]

    outcomes = train_stack(plans, device=device, after_epoch=after_epoch, keep_parameters=False)
    judged = []
    for number in range(len(candidates)):
        ended = [outcome for outcome, of in zip(outcomes, owner, strict=True) if of == number]
        judged.append(
            Judged(
                score=_mean([outcome.best_score for outcome in ended]),
                pruned=any(outcome.left == "pruned" for outcome in ended),
                epochs=sum(outcome.epochs for outcome in ended),
                left=tuple(outcome.left for outcome in ended),
            )
        )
    return judged


def _mean(scores: Sequence[float]) -> float:
    return fmean(0.0 if math.isnan(score) else score for score in scores)
