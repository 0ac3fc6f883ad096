"""A queue of further negatives: clips of earlier batches, as in MoCo, without its momentum encoder.

MoCo (He et al. 2020) keeps embeddings of earlier batches, which go stale as the encoder that made them moves
on; a slowly moving copy of the encoder keeps them alike. Here the anchor is fixed up to one linear map,
so the queue keeps which clips they were and their anchors pass through the map as it is now: nothing is stale.
The trained side would have to be computed again by the moving encoder, so only the direction from the trained side
to the anchor has further negatives. Reconstruction: the specification asks for a queue, not for this form.
"""

from __future__ import annotations

import torch
from torch import Tensor


class NegativeQueue:
    """The last `size` clips (rows of the anchor features), the latest first, each once."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows = torch.empty(0, dtype=torch.long)

    def beside(self, batch: Tensor) -> Tensor:
        """The queued rows that are not in the batch: the anchor of a clip must not be its own negative."""
        return self.rows[~torch.isin(self.rows, batch)]

    def push(self, batch: Tensor) -> None:
        """Put the rows of a batch in front and let the oldest go."""
        if self.size:
            self.rows = torch.cat([batch, self.beside(batch)])[: self.size]
