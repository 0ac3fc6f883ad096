from __future__ import annotations

import numpy as np
import pytest
import torch

from mer.adaptation.padded_batches import FrameStore, draw_windows, length_sorted_batches, pad
from mer.errors import ConfigError
from mer.features.dataset import RaggedTable

LENGTHS = np.random.default_rng(0).integers(1, 200, size=500)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padding(batches: list[np.ndarray]) -> float:
    total = sum(len(batch) * LENGTHS[batch].max() for batch in batches)
    return float(total / sum(LENGTHS[batch].sum() for batch in batches))


def test_every_clip_is_served_once_an_epoch_in_another_order() -> None:
    rows = np.flatnonzero(np.arange(500) % 3 > 0)
    first = length_sorted_batches(rows, LENGTHS, 16, generator(1))
    again = length_sorted_batches(rows, LENGTHS, 16, generator(1))
    other = length_sorted_batches(rows, LENGTHS, 16, generator(2))
    for batches in (first, other, length_sorted_batches(rows, LENGTHS, 16)):
        assert sorted(np.concatenate(batches).tolist()) == rows.tolist()
        assert max(map(len, batches)) <= 16
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in other]


def test_sorting_saves_most_of_the_padding() -> None:
    rows = np.arange(500)
    unsorted = padding(np.array_split(np.random.default_rng(1).permutation(rows), 32))
    assert unsorted > 1.7
    assert padding(length_sorted_batches(rows, LENGTHS, 16, generator(1))) < 1.25
    assert padding(length_sorted_batches(rows, LENGTHS, 16)) < 1.05


def test_windows_lie_within_their_clips() -> None:
    first, kept = draw_windows(LENGTHS, 50, generator(3))
    assert (kept == np.minimum(LENGTHS, 50)).all()
    assert (first >= 0).all() and (first + kept <= LENGTHS).all()
    assert (first[LENGTHS <= 50] == 0).all() and len(np.unique(first[LENGTHS > 60])) > 20


def test_a_batch_holds_the_frames_asked_for_and_zeros() -> None:
    values = np.arange(30, dtype=np.float16).reshape(15, 2)
    store = FrameStore(values=values, offsets=np.array([0, 4, 5, 15]))
    rows = np.array([2, 0])
    batch = pad(store, rows, torch.device("cpu"), (np.array([3, 1]), np.array([5, 2])))
    assert batch.hidden.dtype == torch.float32 and batch.mask.tolist() == [
        [True] * 5,
        [True] * 2 + [False] * 3,
    ]
    np.testing.assert_array_equal(batch.hidden[0], values[8:13])
    np.testing.assert_array_equal(batch.hidden[1], np.concatenate([values[1:3], np.zeros((3, 2))]))


def test_a_table_of_several_hidden_states_is_refused() -> None:
    offsets, present = np.array([0, 4]), np.array([True])
    one = RaggedTable(("a",), np.zeros((4, 1, 3), np.float32), offsets, present)
    assert FrameStore.of(one).width == 3
    with pytest.raises(ConfigError, match="one hidden state"):
        FrameStore.of(RaggedTable(("a",), np.zeros((4, 2, 3), np.float32), offsets, present))
