from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.alignment.negatives import NegativeQueue


def test_the_latest_clips_are_kept_each_once() -> None:
    queue = NegativeQueue(5)
    queue.push(torch.tensor([1, 2, 3]))
    queue.push(torch.tensor([4, 5]))
    assert queue.rows.tolist() == [4, 5, 1, 2, 3]
    queue.push(torch.tensor([2, 9]))
    assert queue.rows.tolist() == [2, 9, 4, 5, 1]


def test_an_own_sound_is_never_a_negative() -> None:
    queue = NegativeQueue(10)
    queue.push(torch.arange(6))
    assert queue.beside(torch.tensor([0, 3, 7])).tolist() == [1, 2, 4, 5]


def test_no_queue() -> None:
    queue = NegativeQueue(0)
    queue.push(torch.arange(6))
    assert len(queue.rows) == 0


@settings(max_examples=50, deadline=None)
@given(
    batches=st.lists(st.sets(st.integers(0, 30), min_size=1, max_size=8), max_size=12),
    size=st.integers(1, 20),
)
def test_equals_a_list_kept_by_hand(batches: list[set[int]], size: int) -> None:
    queue, by_hand = NegativeQueue(size), list[int]()
    for batch in batches:
        order = sorted(batch)
        queue.push(torch.tensor(order))
        by_hand = (order + [row for row in by_hand if row not in batch])[:size]
    assert queue.rows.tolist() == by_hand
