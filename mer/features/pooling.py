"""From hidden states to the array a shard keeps: over layers, then over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.features.spec import FeatureSpec


def pooled(states: Sequence[Tensor], spec: FeatureSpec) -> NDArray[np.float32]:
    """Reduce hidden states of one clip as `spec` says.

    Args:
        states: the states asked for, each (time, width); every frame is real, there is no padding here.
        spec: `layers`, `reduce_layers` and `pooling` are read.

    Returns:
        float32 (T, states, width') or (T, width'); T is 1 unless pooling is `frames`; width' is 2 * width for
        `mean_std` (means, then population standard deviations).
    """
    stacked = torch.stack(list(states), dim=1)  # (time, states, width)
    if spec.layers == "output":
        stacked = stacked[:, 0]
    elif spec.reduce_layers == "sum":
        stacked = stacked.sum(dim=1)
    elif spec.reduce_layers == "mean":
        stacked = stacked.mean(dim=1)
    if spec.pooling == "mean":
        stacked = stacked.mean(dim=0, keepdim=True)
    elif spec.pooling == "mean_std":
        stacked = torch.cat(
            [stacked.mean(dim=0, keepdim=True), stacked.std(dim=0, correction=0, keepdim=True)], dim=-1
        )
    return np.ascontiguousarray(stacked.numpy(), dtype=np.float32)


def pooled_zeros(spec: FeatureSpec, states: int, width: int) -> NDArray[np.float32]:
    """What `pooled` would give for a clip without the stream: zeros of the same shape, T = 1."""
    features = 2 * width if spec.pooling == "mean_std" else width
    stacked = spec.layers != "output" and spec.reduce_layers == "stack"
    return np.zeros((1, states, features) if stacked else (1, features), dtype=np.float32)
