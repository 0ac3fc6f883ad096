"""Batches that fit into memory: items of similar length together, and half as many after an out-of-memory
error.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from mer.errors import ConfigError

Result = TypeVar("Result")


class FittingBatches:
    """Cuts items into batches of at most `budget` padded cost; the budget halves for good where memory ends.

    Args:
        budget: largest number of items times the cost of the longest one, in the unit of the costs (seconds,
            pictures, tokens); 0 stands for single items, which is what a processor wants.
    """

    def __init__(self, budget: float) -> None:
        self.budget = budget

    def run(self, costs: Sequence[float], compute: Callable[[list[int]], list[Result]]) -> list[Result]:
        """Compute all items, the longest first (a lack of memory shows at once).

        Args:
            costs: of each item, in proportion to its length.
            compute: positions of a batch -> one result per position.

        Returns:
            results in the order of `costs`.

        Raises:
            ConfigError: a single item does not fit.
        """
        result_of: dict[int, Result] = {}
        waiting = sorted(range(len(costs)), key=lambda index: -costs[index])
        while waiting:
            batch = waiting[: self._fitting([costs[index] for index in waiting])]
            results = _unless_out_of_memory(compute, batch)
            if results is None:
                self._halve(batch, costs)
                continue
            result_of.update(zip(batch, results, strict=True))
            waiting = waiting[len(batch) :]
        return [result_of[index] for index in range(len(costs))]

    def _fitting(self, costs: Sequence[float]) -> int:
        # sorted: the first one is the longest, and decides what padding costs
        return max(1, int(self.budget / max(costs[0], 1e-9)))

    def _halve(self, batch: Sequence[int], costs: Sequence[float]) -> None:
        if len(batch) == 1:
            raise ConfigError(
                f"out of memory with a single item of cost {costs[batch[0]]:.0f}: choose a smaller window or "
                "fewer frames, bf16, a smaller encoder, or another device"
            )
        self.budget = costs[batch[0]] * (len(batch) // 2)
        logging.getLogger(__name__).warning(
            "out of memory with a batch of %d: going on with %d", len(batch), len(batch) // 2
        )
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _unless_out_of_memory(
    compute: Callable[[list[int]], list[Result]], batch: list[int]
) -> list[Result] | None:
    # returning from here, not retrying in the handler, lets go of the tensors in the error's traceback
    try:
        return compute(batch)
    except (torch.OutOfMemoryError, MemoryError):
        return None
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # torch's allocator on the processor
            raise
        return None
