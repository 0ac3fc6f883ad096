"""Result of a layer study: the curve with its intervals, and the rule that chooses the block (system A, 1).

Known: the contribution of every layer is measured and the most effective ones are adapted. Reconstruction, the rule: the
score of a block is the mean score of the hidden states it makes; whole speakers are resampled, the same ones for all layers
(bootstrap); among the contiguous blocks of one length fixed beforehand the one with the best lower bound of its two-sided
interval is taken. Only clips that the caller calls training clips enter, see `mer.layer_study.study`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from mer.adaptation.block import Block
from mer.evaluation.intervals import (
    Score,
    group_confusions,
    resample_weights,
    resampled_scores,
    resampling_groups,
    widened,
)
from mer.evaluation.metrics import Floats, accuracy, confusion, waf
from mer.layer_study.config import LayerStudyConfig

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
    """(L,) share of each layer in a head that may mix all, mean over the runs (`mer.layer_study.weighting`)."""
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


def judge_layers(
    predicted: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    truth: NDArray[np.int64],
    speakers: Sequence[str | None],
    config: LayerStudyConfig,
    mixture: Floats,
) -> LayerStudy:
    """Score every layer where its heads had not trained, and choose the block.

    Args:
        predicted: (L, R, N) class index that the head of each layer and run says.
        held_out: (R, N) the clips each run is scored on.
        truth: (N,) class index.
        speakers: (N,) speaker or None.
        config: score, resamples, confidence, length of the block.
        mixture: (R, L) shares of the layers in the second view.
    """
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
            run_counts = group_confusions(truth[held], predicted[layer, run, held], groups[held], classes)
            counts[layer, : len(run_counts)] += run_counts
    weights = resample_weights(counts.shape[1], config.resamples, config.seed)  # shared by all layers
    samples = np.stack([resampled_scores(layer_counts, weights, score) for layer_counts in counts])  # (L, B)
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(widened(samples, counts.shape[1]), [tail, 1 - tail], axis=1)
    block, block_low = choose_block(samples, counts.shape[1], config)
    return LayerStudy(
        scores=scores,
        mean=score(counts.sum(axis=1)),
        low=np.clip(low, 0.0, 1.0),
        high=np.clip(high, 0.0, 1.0),
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
    preferred_length = (
        max(2, ceil(available / _PAPER_SHARE)) if config.block_length is None else config.block_length
    )
    length = min(preferred_length, available)
    tail = (1 - config.confidence) / 2
    windows = [samples[start + 1 : start + 1 + length] for start in range(available - length + 1)]
    means = np.stack([window.mean(axis=0) for window in windows])  # (blocks, B)
    lows = np.quantile(widened(means, groups), tail, axis=1)
    start = int(np.argmax(lows))
    return Block(start, start + length), float(lows[start])
