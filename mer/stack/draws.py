"""Order, dropout and hidden streams of stacked models: every draw depends on (seed, epoch, purpose) alone.

Models of one seed share their random numbers, drawn once for all of them; what a model draws does not depend on its
neighbours. Dropout uses a byte a value, eight of them out of one 64-bit draw (7 times faster than `torch.rand` on a
processor, 24 times faster than `bernoulli_`; measured), so its probability is a multiple of 1/256.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mer.fusion.config import FusionConfig
from mer.fusion.streams import drop_streams
from mer.stack.batch import padded_to_longest
from mer.stack.data import StackView
from mer.stack.dropout import Place, StackedDropout
from mer.training.batches import length_sorted_batches
from mer.training.seeding import epoch_generator

_LEVELS = 256


def epoch_order(view: StackView, seed: int, epoch: int, batch_size: int) -> tuple[Tensor, ...]:
    """Row numbers of every step of an epoch, one batch smaller than the others; as `mer.fusion.train` draws them."""
    shuffle = epoch_generator(seed, epoch, "order")
    device, lengths = view.train.device, view.data.lengths
    if lengths is None:
        order = torch.randperm(len(view.train), generator=shuffle).to(device)
        return torch.split(view.train[order], batch_size)
    parts = length_sorted_batches(view.train.cpu().numpy(), lengths, batch_size, shuffle)
    return tuple(torch.from_numpy(part).to(device) for part in parts)


def reading_order(view: StackView, rows: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Row numbers in the batches they are judged in: all at once, or sorted by length where streams are framewise."""
    lengths = view.data.lengths
    if lengths is None:
        return (rows,)
    parts = length_sorted_batches(rows.cpu().numpy(), lengths, batch_size)
    return tuple(torch.from_numpy(part).to(rows.device) for part in parts)


class EpochDraws:
    """The random numbers of one epoch of K models.

    Models of one seed draw the same bytes. Where places have frames, what is drawn depends on the frames of the batch, so
    that only models that read the same batches share them.

    Args:
        configs: options of every model.
        readers: which batch every model reads.
        epoch: counted from 1.
        places: where the models drop values.
        device: where the masks go; draws happen on the processor, so that they are the same everywhere.
    """

    def __init__(
        self,
        configs: Sequence[FusionConfig],
        readers: Sequence[int],
        epoch: int,
        places: Sequence[Place],
        device: torch.device,
    ) -> None:
        framewise = any(place.streams is not None for place in places)
        drawn_by = [
            (own.seed, reader if framewise else 0) for own, reader in zip(configs, readers, strict=True)
        ]
        sources = list(dict.fromkeys(drawn_by))
        of_model = [sources.index(own) for own in drawn_by]
        self._reader = [readers[of_model.index(source)] for source in range(len(sources))]
        self._bytes = [epoch_generator(seed, epoch, "dropout") for seed, _ in sources]
        self._of_model = None if _in_order(of_model) else torch.tensor(of_model, device=device)
        self._hide = [epoch_generator(own.seed, epoch, "streams") for own in configs]
        self._hiding = [own.modality_dropout for own in configs]
        self._places, self._batch_size, self._device = tuple(places), configs[0].batch_size, device
        levels = torch.tensor([round(own.dropout * _LEVELS) for own in configs], device=device)
        levels = levels.clamp_max(_LEVELS - 1)
        self._threshold = levels.to(torch.uint8)
        self._scale = _LEVELS / (_LEVELS - levels.float())
        self._drops = bool((levels > 0).any()) and bool(self._places)

    def dropout(self, frames: Sequence[Mapping[str, int]], rows: int) -> StackedDropout | None:
        """Masks of the next step; None where no model drops anything.

        Args:
            frames: of every batch that is read: stream -> T.
            rows: of a batch; what is drawn does not depend on it.
        """
        if not self._drops:
            return None
        read = [frames[reader] for reader in self._reader]
        shapes = [[place.shape(self._batch_size, own) for place in self._places] for own in read]
        sizes = [[math.prod(shape) for shape in own] for own in shapes]
        words = [-(-sum(own) // 8) for own in sizes]
        drawn = torch.empty(len(words), max(words), dtype=torch.int64)
        for row, count, generator in zip(drawn, words, self._bytes, strict=True):
            row[:count].random_(-(2**63), None, generator=generator)
        bytes_ = drawn.view(torch.uint8).to(self._device)
        if all(own == read[0] for own in read):
            if self._of_model is not None:
                bytes_ = bytes_.index_select(0, self._of_model)
            parts = torch.split(bytes_[:, : sum(sizes[0])], sizes[0], dim=1)
            placed = [
                part.reshape(-1, *shape)[:, :rows] for part, shape in zip(parts, shapes[0], strict=True)
            ]
            return StackedDropout(tuple(placed), self._threshold, self._scale)
        cut = [torch.split(row[: sum(own)], own) for row, own in zip(bytes_, sizes, strict=True)]
        several = []
        for number, place in enumerate(self._places):
            each = [own[number].view(1, *shape[number]) for own, shape in zip(cut, shapes, strict=True)]
            beside = torch.cat(_padded_by_stream(each, place, read))
            several.append(beside if self._of_model is None else beside.index_select(0, self._of_model))
        return StackedDropout(tuple(several), self._threshold, self._scale)

    def hides(self) -> bool:
        """Whether any model hides streams."""
        return any(probability > 0 for probability in self._hiding)

    def present(self, model: int, present: Mapping[str, Tensor], clips: int) -> dict[str, Tensor]:
        """Presence of a model's next batch after hiding; only its first `clips` rows are clips.

        Args:
            model: place in the stack.
            present: stream -> (B, 1), or (B, T, 1): all frames of a stream go together.
            clips: rows that are clips.
        """
        if self._hiding[model] == 0 or clips == 0:
            return dict(present)
        seen = {name: own[:clips].flatten(1).amax(dim=1).cpu() > 0 for name, own in present.items()}
        left = drop_streams(seen, self._hiding[model], self._hide[model])
        result = {}
        for name, own in present.items():
            result[name] = own.clone()
            result[name][:clips] *= left[name].to(own).view(-1, *[1] * (own.dim() - 1))
        return result


def _padded_by_stream(
    each: Sequence[Tensor], place: Place, frames: Sequence[Mapping[str, int]]
) -> list[Tensor]:
    """(1, B, sum of T, width) of several batches, every stream padded where it is: as the batches are side by side."""
    if place.streams is None:
        return list(each)
    cut = [
        torch.split(own, [known[name] for name in place.streams], dim=2)
        for own, known in zip(each, frames, strict=True)
    ]
    streams = [padded_to_longest(parts) for parts in zip(*cut, strict=True)]
    return [torch.cat(parts, dim=2) for parts in zip(*streams, strict=True)]


def _in_order(of_model: Sequence[int]) -> bool:
    """Whether no selection is needed: all read the first, or each its own in order."""
    return set(of_model) == {0} or list(of_model) == list(range(len(of_model)))
