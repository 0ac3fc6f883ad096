"""The layer study: how much emotion every hidden state of an encoder tells, and which block to adapt
(system A, 1).

Known: the contribution of every layer is measured and the most effective layers are adapted.
Reconstruction:
an identical linear head (L2-regularised softmax) on pooled hidden states of every layer,
speaker-independent
folds, several seeds (= fold assignments), trained in one batched pass; the block with the best lower bound.

Nested use: pass the training clips of one outer fold only. The folds of the study lie inside them, so
neither the curve nor the choice has seen the clips the system is scored on; the study is repeated for every
outer fold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray

from mer.adaptation.block import Block
from mer.adaptation.config import LayerStudyConfig
from mer.adaptation.layer_weighting import weigh_layers
from mer.errors import ConfigError
from mer.evaluation.intervals import (
    Score,
    group_confusions,
    resample_weights,
    resampled_scores,
    resampling_groups,
    widened,
)
from mer.evaluation.metrics import Floats, accuracy, confusion, waf
from mer.training.folds import assign_folds
from mer.training.stacked import train_stacked_probes

_SCORES: dict[str, Score] = {"accuracy": accuracy, "waf": waf}
_PAPER_SHARE = 4
"""The paper adapts a quarter of the layers (16-21 of 24)."""


@dataclass(frozen=True)
class LayerStudy:
    """The layer curve and the chosen block. Index 0 is the convolutional front end."""

    scores: Floats
    """(L, folds * seeds) score of every layer on every held-out fold, seeds in the outer order."""
    mean: Floats
    """(L,) score on all held-out clips, pooled over folds and seeds."""
    low: Floats
    """(L,) lower end of the interval of `mean`, speakers resampled."""
    high: Floats
    """(L,) upper end."""
    best_block: Block
    """The block whose hidden states have the best lower bound on average."""
    block_low: float
    """That lower bound."""
    best_layer: int
    """The single hidden state with the best lower bound."""
    weights: Floats
    """(L,) share of each layer in a head that may mix all, mean over the runs (`mer.adaptation.layer_weighting`)."""
    weights_deviation: Floats
    """(L,) standard deviation of that share over the runs."""

    def to_json(self) -> str:
        """The study as JSON text."""
        return json.dumps(
            {
                "scores": self.scores.tolist(),
                "mean": self.mean.tolist(),
                "low": self.low.tolist(),
                "high": self.high.tolist(),
                "best_block": [self.best_block.start, self.best_block.stop],
                "block_low": self.block_low,
                "best_layer": self.best_layer,
                "weights": self.weights.tolist(),
                "weights_deviation": self.weights_deviation.tolist(),
            }
        )


def study_layers(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    speakers: Sequence[str | None],
    config: LayerStudyConfig,
    progress: Callable[[int, int], None] | None = None,
) -> LayerStudy:
    """Score every layer on held-out speakers and choose the block to adapt.

    Args:
        features: (N, L, D) pooled hidden states of the training clips; layer 0 is the convolutional front
            end.
        labels: (N,) class index; clips of -1 are left out.
        speakers: (N,) speaker or None (then folds are by clip).
        config: folds, seeds, penalty, score.
        progress: called with (solver steps done, most steps).

    Raises:
        ConfigError: fewer than two hidden states, clips or classes; features that are not finite.
    """
    known = labels >= 0
    values, truth = features[known], labels[known]
    who = [speaker for speaker, keep in zip(speakers, known, strict=True) if keep]
    if features.ndim != 3 or features.shape[1] < 2 or len(np.unique(truth)) < 2:
        raise ConfigError(
            f"layer study: expected (clips, at least 2 hidden states, width) of at least 2 classes, found "
            f"{features.shape} and {len(np.unique(truth))} classes among the labelled clips"
        )
    folds = _fold_assignments(who, truth, config)
    held_out = np.concatenate([[run == fold for fold in range(run.max() + 1)] for run in folds])  # (R, N)
    by_layer = torch.from_numpy(np.ascontiguousarray(values.transpose(1, 0, 2), dtype=np.float32))
    task = (by_layer, torch.from_numpy(truth), torch.from_numpy(~held_out), int(truth.max()) + 1)
    probes = train_stacked_probes(
        *task,
        l2=config.l2,
        iterations=config.iterations,
        tolerance=config.tolerance,
        progress=progress,
    )
    mixed = weigh_layers(*task, l2=config.l2, steps=config.weighting_steps)
    return _judge(
        probes.logits.argmax(dim=-1).numpy(),
        held_out,
        truth,
        who,
        config,
        mixed.weights.numpy().astype(float),
    )


def _fold_assignments(
    speakers: Sequence[str | None], truth: NDArray[np.int64], config: LayerStudyConfig
) -> list[NDArray[np.int64]]:
    names = [str(row) for row in range(len(truth))]
    return [
        assign_folds(speakers, names, truth, config.folds, config.seed + run) for run in range(config.seeds)
    ]


def _judge(
    predicted: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    truth: NDArray[np.int64],
    speakers: Sequence[str | None],
    config: LayerStudyConfig,
    mixture: Floats,
) -> LayerStudy:
    """Score (L, R, N) predictions on the held-out clips (R, N) of every run; `mixture` (R, L), its layers' shares."""
    layers, runs, _ = predicted.shape
    classes = int(max(truth.max(), predicted.max())) + 1
    score = _SCORES[config.score]
    groups = resampling_groups(speakers, len(truth))
    scores = np.empty((layers, runs))
    counts = np.zeros((layers, int(groups.max()) + 1, classes, classes))
    for layer in range(layers):
        for run in range(runs):
            held = held_out[run]
            scores[layer, run] = score(confusion(truth[held], predicted[layer, run, held], classes))
            part = group_confusions(truth[held], predicted[layer, run, held], groups[held], classes)
            counts[layer, : len(part)] += part
    weights = resample_weights(counts.shape[1], config.resamples, config.seed)  # shared by all layers
    samples = np.stack([resampled_scores(own, weights, score) for own in counts])  # (L, B)
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(widened(samples, counts.shape[1]), [tail, 1 - tail], axis=1)
    block, block_low = choose_block(samples, counts.shape[1], config)
    return LayerStudy(
        scores=scores,
        mean=score(counts.sum(axis=1)),
        low=low,
        high=high,
        best_block=block,
        block_low=block_low,
        best_layer=int(np.argmax(low)),
        weights=mixture.mean(axis=0),
        weights_deviation=mixture.std(axis=0),
    )


def choose_block(samples: Floats, groups: int, config: LayerStudyConfig) -> tuple[Block, float]:
    """The contiguous block with the best lower bound, from (L, B) resampled scores of hidden states 0 ..
    L-1.

    A block of layers start .. stop-1 makes hidden states start+1 .. stop; its score is their mean score,
    resampled jointly. The length is fixed beforehand: the mean over a shorter window around the peak is
    always higher, so lengths cannot be compared by it. Among equal blocks the lowest is taken (fewer layers
    to run).
    """
    available = len(samples) - 1
    wanted = max(2, ceil(available / _PAPER_SHARE)) if config.block_length is None else config.block_length
    length = min(wanted, available)
    tail = (1 - config.confidence) / 2
    windows = [samples[start + 1 : start + 1 + length] for start in range(available - length + 1)]
    means = np.stack([window.mean(axis=0) for window in windows])  # (blocks, B)
    lows = np.quantile(widened(means, groups), tail, axis=1)
    start = int(np.argmax(lows))
    return Block(start, start + length), float(lows[start])
