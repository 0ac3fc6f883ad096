"""Several processes that share every batch of one fit, one a GPU.

Each computes the losses of its part of a batch, divided by the counts of the whole batch; gradients and losses are
added up. So the fit is the one that a single process makes of the same batches, up to the order of summation; only
dropout and the partners of mixup are drawn within a part. Adapters are small: one exchange of a few MB a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Processes:
    """A single process, which computes whole batches."""

    rank = 0
    """Number of this process."""
    count = 1
    """Number of processes."""

    @property
    def first(self) -> bool:
        """True in the process that writes files."""
        return self.rank == 0

    def clip_range(self, clips: int) -> slice:
        """Range of a batch of `clips` clips that this process computes; may be empty where there are fewer than processes."""
        return slice(clips * self.rank // self.count, clips * (self.rank + 1) // self.count)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one device and type by their sums over all processes, in place."""


ALONE = Processes()


class AcceleratedProcesses(Processes):
    """The processes that `accelerate launch` or `torchrun` started; one where neither did.

    Every process makes one and hands it to `adapt`, with its encoder on `device`.
    """

    def __init__(self) -> None:
        from accelerate import PartialState  # slow to import

        self._state = PartialState(cpu=not torch.cuda.is_available())
        self.rank = int(self._state.process_index)
        self.count = int(self._state.num_processes)

    @property
    def device(self) -> torch.device:
        """Device of this process: a GPU of its own, or the CPU."""
        return torch.device(self._state.device)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """See `Processes.add_up`; one exchange for all."""
        from accelerate.utils import reduce

        if self.count == 1:
            return
        total = reduce(torch.cat([tensor.reshape(-1) for tensor in tensors]), reduction="sum")
        for tensor, summed in zip(tensors, total.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(summed.view_as(tensor))
