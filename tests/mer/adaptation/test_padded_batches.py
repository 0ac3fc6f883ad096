from __future__ import annotations

import numpy as np
import pytest
import torch

from mer.adaptation.padded_batches import FrameStore, draw_windows, pad
from mer.errors import ConfigError
from mer.features.dataset import RaggedTable
from mer.training.batches import length_sorted_batches

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


def table(values: np.ndarray, offsets: list[int]) -> RaggedTable:
    clips = len(offsets) - 1
    return RaggedTable(
        tuple(f"c{i}" for i in range(clips)), values, np.array(offsets), np.ones(clips, dtype=bool)
    )


def test_a_batch_holds_the_frames_asked_for_and_zeros() -> None:
    values = np.arange(30, dtype=np.float16).reshape(15, 2)
    store = FrameStore.of(table(values, [0, 4, 5, 15]))
    rows = np.array([2, 0])
    batch = pad(store, rows, (np.array([3, 1]), np.array([5, 2])))
    assert batch.hidden.dtype == torch.float32 and batch.mask.tolist() == [
        [True] * 5,
        [True] * 2 + [False] * 3,
    ]
    np.testing.assert_array_equal(batch.hidden[0], values[8:13])
    np.testing.assert_array_equal(batch.hidden[1], np.concatenate([values[1:3], np.zeros((3, 2))]))
    whole = pad(store, np.array([1, 0]))
    np.testing.assert_array_equal(whole.hidden[0], np.concatenate([values[4:5], np.zeros((3, 2))]))
    np.testing.assert_array_equal(whole.hidden[1], values[:4])


def test_what_is_broken_in_one_clip_stays_out_of_its_neighbours_padding() -> None:
    values = np.ones((6, 2), dtype=np.float32)
    values[3:] = np.nan
    store = FrameStore.of(table(values, [0, 3, 4, 6]))
    batch = pad(store, np.array([0, 1, 2]))
    assert batch.hidden[0].isfinite().all() and batch.hidden[1, 1:].eq(0).all()


def test_several_tables_lie_one_after_the_other() -> None:
    plain = np.arange(10, dtype=np.float32).reshape(5, 2)
    slow = np.arange(100, 114, dtype=np.float32).reshape(7, 2)
    store = FrameStore.of(table(plain, [0, 2, 5]), table(slow, [0, 4, 7]))
    assert store.lengths.tolist() == [2, 3, 4, 3]
    np.testing.assert_array_equal(pad(store, np.array([3])).hidden[0], slow[4:])
    read_only = plain.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(FrameStore.of(table(read_only, [0, 2, 5])).values, plain)


def test_a_table_of_several_hidden_states_is_refused() -> None:
    offsets, present = np.array([0, 4]), np.array([True])
    one = RaggedTable(("a",), np.zeros((4, 1, 3), np.float32), offsets, present)
    assert FrameStore.of(one).width == 3
    with pytest.raises(ConfigError, match="one hidden state"):
        FrameStore.of(RaggedTable(("a",), np.zeros((4, 2, 3), np.float32), offsets, present))
