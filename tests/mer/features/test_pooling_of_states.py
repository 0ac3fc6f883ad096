from __future__ import annotations

import numpy as np
import pytest
import torch

from mer.features.pooling import merged, pooled, pooled_zeros
from mer.features.spec import FeatureSpec

STATES = [torch.randn(7, 5, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


@pytest.mark.parametrize("pooling", ["mean", "mean_std", "statistics", "frames"])
@pytest.mark.parametrize("reduce_layers", ["stack", "sum", "mean"])
@pytest.mark.parametrize("layers", [(0, 1, 2), "output"])
def test_against_numpy(pooling: str, reduce_layers: str, layers: tuple[int, ...] | str) -> None:
    spec = FeatureSpec(
        modality="acoustic", source="x", layers=layers, pooling=pooling, reduce_layers=reduce_layers
    )
    states = STATES if layers != "output" else STATES[:1]
    values = np.stack([state.numpy().astype(np.float64) for state in states])  # (states, time, width)
    if layers == "output":
        values = values[0]
    elif reduce_layers == "sum":
        values = values.sum(axis=0)
    elif reduce_layers == "mean":
        values = values.mean(axis=0)
    else:
        values = values.transpose(1, 0, 2)
    expected = {
        "frames": values,
        "mean": values.mean(axis=0)[None],
        "mean_std": np.concatenate([values.mean(axis=0), values.std(axis=0)], axis=-1)[None],
        "statistics": np.concatenate(
            [values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0)], axis=-1
        )[None],
    }[pooling]
    found = pooled(states, spec)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    zeros = pooled_zeros(spec, len(states), 5)
    assert zeros.shape == (1, *found.shape[1:])
    assert not zeros.any()


def test_one_frame_has_no_deviation() -> None:
    spec = FeatureSpec(modality="acoustic", source="x", layers=(0,), pooling="mean_std")
    found = pooled([STATES[0][:1]], spec)
    np.testing.assert_array_equal(found[0, 0, 5:], 0.0)


@pytest.mark.parametrize("pooling", ["mean", "mean_std", "statistics", "frames"])
def test_a_clip_in_parts_gives_what_the_whole_gives(pooling: str) -> None:
    spec = FeatureSpec(modality="acoustic", source="x", layers=(0, 1, 2), pooling=pooling)
    cuts = [slice(0, 2), slice(2, 3), slice(3, 7)]
    parts = [pooled([state[cut] for state in STATES], spec) for cut in cuts]
    np.testing.assert_allclose(merged(parts, [2, 1, 4], spec), pooled(STATES, spec), rtol=1e-5, atol=1e-6)
