"""From hidden states to the array a shard keeps: over layers, then over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.features.spec import FeatureSpec

_PARTS = {"mean": 1, "mean_std": 2, "statistics": 4, "frames": 1}
"""Vectors side by side in what a pooling gives."""


def pooled(states: Sequence[Tensor], spec: FeatureSpec) -> NDArray[np.float32]:
    """Reduce hidden states of one clip, or of a part of one, as `spec` says.

    Args:
        states: the states asked for, each (time, width), in any precision and on any device; every frame is
            real, there is no padding here.
        spec: `layers`, `reduce_layers` and `pooling` are read.

    Returns:
        float32 (T, states, width') or (T, width'); T is 1 unless pooling is `frames`; width' is 2 * width for
        `mean_std` (means, then population standard deviations), 4 * width for `statistics` (minima and maxima behind
        them: of a clip cut into windows these four are known from the windows', which quantiles are not).
    """
    stacked = torch.stack([state.float() for state in states], dim=1)  # (time, states, width)
    if spec.layers == "output":
        stacked = stacked[:, 0]
    elif spec.reduce_layers == "sum":
        stacked = stacked.sum(dim=1)
    elif spec.reduce_layers == "mean":
        stacked = stacked.mean(dim=1)
    if spec.pooling == "mean":
        stacked = stacked.mean(dim=0, keepdim=True)
    elif spec.pooling != "frames":
        statistics = [stacked.mean(dim=0, keepdim=True), stacked.std(dim=0, correction=0, keepdim=True)]
        if spec.pooling == "statistics":
            statistics += [stacked.amin(dim=0, keepdim=True), stacked.amax(dim=0, keepdim=True)]
        stacked = torch.cat(statistics, dim=-1)
    return np.ascontiguousarray(stacked.cpu().numpy(), dtype=np.float32)


def merged(
    parts: Sequence[NDArray[np.float32]], frames: Sequence[int], spec: FeatureSpec
) -> NDArray[np.float32]:
    """What `pooled` would give for a whole clip, from its parts (windows, pieces): no part is kept longer.

    Args:
        parts: what `pooled` gave for each.
        frames: how many frames each part has.
        spec: `pooling` is read.
    """
    if len(parts) == 1:
        return parts[0]
    if spec.pooling == "frames":
        return np.concatenate(parts)
    stacked = np.stack(parts).astype(np.float64)
    shares = np.asarray(frames, dtype=np.float64) / sum(frames)
    means, *others = np.split(stacked, _PARTS[spec.pooling], axis=-1)
    mean = np.tensordot(shares, means, axes=1)
    if not others:
        return mean.astype(np.float32)
    # the variance of the whole: within the parts, and between them
    squares = np.square(others[0]) + np.square(means - mean)
    statistics = [mean, np.sqrt(np.tensordot(shares, squares, axes=1))]
    if spec.pooling == "statistics":
        statistics += [others[1].min(axis=0), others[2].max(axis=0)]
    return np.concatenate(statistics, axis=-1).astype(np.float32)


def pooled_zeros(spec: FeatureSpec, states: int, width: int) -> NDArray[np.float32]:
    """What `pooled` would give for a clip without the stream: zeros of the same shape, T = 1."""
    features = _PARTS[spec.pooling] * width
    stacked = spec.layers != "output" and spec.reduce_layers == "stack"
    return np.zeros((1, states, features) if stacked else (1, features), dtype=np.float32)
