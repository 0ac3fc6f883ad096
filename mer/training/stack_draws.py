"""Order, dropout and hidden streams of stacked models: every draw depends on (seed, epoch, purpose) alone.

Models of one seed share their random numbers, drawn once for all of them; what a model draws does not depend on its
neighbours. Dropout uses a byte a value, eight of them out of one 64-bit draw (7 times faster than `torch.rand` on a
processor, 24 times faster than `bernoulli_`; measured), so its probability is a multiple of 1/256.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mer.fusion.streams import drop_streams
from mer.training.seeding import epoch_generator
from mer.training.stack_data import StackView
from mer.training.stack_models import StackedDropout

_LEVELS = 256


def epoch_order(view: StackView, seed: int, epoch: int, batch_size: int) -> tuple[Tensor, ...]:
    """Row numbers of every step of an epoch; the last batch may be smaller."""
    shuffle = epoch_generator(seed, epoch, "order")
    order = torch.randperm(len(view.train), generator=shuffle).to(view.train.device)
    return torch.split(view.train[order], batch_size)


class EpochDraws:
    """The random numbers of one epoch of K models.

    Args:
        seeds: seed of every model.
        dropout: dropout probability of every model.
        hiding: probability of every model that a clip's stream is hidden.
        epoch: counted from 1.
        widths: width of every place of dropout.
        batch_size: clips in a full step.
        device: where the masks go; draws happen on the processor, so that they are the same everywhere.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        dropout: Sequence[float],
        hiding: Sequence[float],
        epoch: int,
        widths: Sequence[int],
        batch_size: int,
        device: torch.device,
    ) -> None:
        self._own = sorted(set(seeds))
        self._bytes = [epoch_generator(seed, epoch, "dropout") for seed in self._own]
        self._hide = [epoch_generator(seed, epoch, "streams") for seed in seeds]
        self._hiding = list(hiding)
        self._widths, self._batch_size, self._device = list(widths), batch_size, device
        of_model = torch.tensor([self._own.index(seed) for seed in seeds], device=device)
        self._of_model = None if len(self._own) in (1, len(seeds)) and _in_order(of_model) else of_model
        levels = torch.tensor([round(p * _LEVELS) for p in dropout], device=device).clamp_max(_LEVELS - 1)
        self._threshold = levels.to(torch.uint8)[:, None, None]
        self._scale = (_LEVELS / (_LEVELS - levels.float()))[:, None, None]
        self._drops = bool((levels > 0).any())

    def dropout(self) -> StackedDropout | None:
        """Masks of the next step; None where no model drops anything."""
        if not self._drops:
            return None
        sizes = [self._batch_size * width for width in self._widths]
        words = -(-sum(sizes) // 8)
        drawn = torch.empty(len(self._own), words, dtype=torch.int64)
        for row, generator in zip(drawn, self._bytes, strict=True):
            row.random_(-(2**63), None, generator=generator)
        bytes_ = drawn.view(torch.uint8).to(self._device)
        if self._of_model is not None:
            bytes_ = bytes_.index_select(0, self._of_model)
        parts = torch.split(bytes_[:, : sum(sizes)], sizes, dim=1)
        kept = tuple(
            part.reshape(len(part), self._batch_size, width) >= self._threshold
            for part, width in zip(parts, self._widths, strict=True)
        )
        return StackedDropout(kept, self._scale)

    def hides(self) -> bool:
        """Whether any model hides streams."""
        return any(probability > 0 for probability in self._hiding)

    def present(self, model: int, present: Mapping[str, Tensor], clips: int) -> dict[str, Tensor]:
        """Stream -> (B, 1) presence of a model's next batch after hiding; only its first `clips` rows are clips."""
        if self._hiding[model] == 0 or clips == 0:
            return dict(present)
        seen = {name: own[:clips, 0].cpu() > 0 for name, own in present.items()}
        left = drop_streams(seen, self._hiding[model], self._hide[model])
        result = {}
        for name, own in present.items():
            result[name] = own.clone()
            result[name][:clips, 0] = left[name].to(own)
        return result


def _in_order(of_model: Tensor) -> bool:
    """Whether no selection is needed: all read the first, or each its own in order."""
    values = of_model.tolist()
    return values == list(range(len(values))) or set(values) == {0}
