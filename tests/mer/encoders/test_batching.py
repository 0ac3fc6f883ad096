from __future__ import annotations

import logging

import pytest
import torch

from mer.encoders.batching import FittingBatches
from mer.errors import ConfigError


class Device:
    """Doubles numbers, and runs out of memory above a number of items."""

    def __init__(self, room: int, error: Exception | None = None) -> None:
        self.room = room
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")
        self.batches: list[list[int]] = []

    def __call__(self, batch: list[int]) -> list[int]:
        self.batches.append(batch)
        if len(batch) > self.room:
            raise self.error
        return [2 * one for one in batch]


def test_results_keep_their_order_and_batches_hold_similar_lengths() -> None:
    device = Device(room=100)
    found = FittingBatches(20.0).run([1, 9, 2, 10, 3, 1], device)
    assert found == [0, 2, 4, 6, 8, 10]
    assert device.batches == [[3, 1], [4, 2, 0, 5]]  # 2 x 10 and 4 x 3 fit


def test_no_budget_means_one_by_one() -> None:
    device = Device(room=1)
    assert FittingBatches(0.0).run([1.0, 0.0, 2.0], device) == [0, 2, 4]
    assert [len(batch) for batch in device.batches] == [1, 1, 1]


@pytest.mark.slow
def test_out_of_memory_halves_the_batch_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    device = Device(room=3)
    batches = FittingBatches(16.0)
    with caplog.at_level(logging.WARNING):
        assert batches.run([1.0] * 16, device) == [2 * one for one in range(16)]
    assert [len(batch) for batch in device.batches] == [16, 8, 4] + [2] * 8
    assert "going on with 2" in caplog.text
    device.batches.clear()
    batches.run([1.0] * 4, device)  # what was learnt is kept
    assert [len(batch) for batch in device.batches] == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")]
)
def test_memory_of_the_processor_counts_too(error: Exception) -> None:
    assert FittingBatches(4.0).run([1.0] * 4, Device(room=2, error=error)) == [0, 2, 4, 6]


def test_one_item_too_large_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match="single item of cost 30: choose a smaller window"):
        FittingBatches(60.0).run([30.0, 30.0], Device(room=0))


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        FittingBatches(4.0).run([1.0] * 4, Device(room=0, error=RuntimeError("shapes do not fit")))


def test_nothing_to_do() -> None:
    assert FittingBatches(4.0).run([], Device(room=0)) == []
