from __future__ import annotations

import numpy as np
import pytest
import torch

from mer.errors import ConfigError
from mer.layer_study.frames import layer_frames

OFFSETS = np.array([0, 3, 4, 11])


def values(seed: int = 0) -> np.ndarray:
    return (1e6 + 1e5 * np.random.default_rng(seed).normal(size=(11, 4))).astype(np.float32)


def standardised(found: np.ndarray) -> np.ndarray:
    return (found - found.mean(axis=0, dtype=np.float64)) / found.std(axis=0, dtype=np.float64)


def test_frames_beyond_the_range_of_float16_are_held_in_their_deviations() -> None:
    held = layer_frames([values(0), values(1)], OFFSETS, 100)
    assert held.values.dtype == torch.float16 and held.clips == 3
    for layer in range(2):
        np.testing.assert_allclose(held.values[layer].float().numpy(), standardised(values(layer)), atol=0.02)


def test_padding_is_zero_and_masked() -> None:
    held = layer_frames([values()], OFFSETS, 100)
    frames, mask = held.padded(torch.tensor([2, 1]))
    assert frames.shape == (1, 2, 7, 4) and mask.tolist() == [[True] * 7, [True] + [False] * 6]
    torch.testing.assert_close(frames[0, 0], held.values[0, 4:11].float())
    torch.testing.assert_close(frames[0, 1, 0], held.values[0, 3].float())
    assert not frames[0, 1, 1:].any()


def test_means_are_those_of_each_clip() -> None:
    held = layer_frames([values()], OFFSETS, 100)
    expected = [held.values[0, a:b].float().mean(dim=0) for a, b in ((0, 3), (3, 4), (4, 11))]
    torch.testing.assert_close(held.means()[0], torch.stack(expected), atol=1e-5, rtol=0)


def test_longer_clips_become_means_of_windows_of_one_length() -> None:
    held = layer_frames([values()], OFFSETS, 3)
    assert held.offsets.tolist() == [0, 3, 4, 7]
    own = values()
    windows = np.stack([*own[:4], own[4:7].mean(axis=0), own[7:10].mean(axis=0), own[10]])
    np.testing.assert_allclose(held.values[0].float().numpy(), standardised(windows), atol=0.02)


def test_what_cannot_be_held_is_refused() -> None:
    broken = values()
    broken[5, 1] = np.nan
    with pytest.raises(ConfigError, match="finite"):
        layer_frames([broken], OFFSETS, 100)
    with pytest.raises(ConfigError, match="at least one frame"):
        layer_frames([values()], np.array([0, 4, 4, 11]), 100)
