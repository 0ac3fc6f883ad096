"""The adapted block in use.

Hidden state `start` in, pooled embedding of the adapted state `stop` out, and the head's logits of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.adaptation.adapters import AdaptedLayers
from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.counted_tokens import counted_pooling
from mer.adaptation.emotion_head import EmotionHead
from mer.adaptation.padded_batches import FrameStore, pad
from mer.adaptation.pooling import AttentivePooling, MeanStdPooling
from mer.errors import ConfigError, WeightsError
from mer.training.batches import length_sorted_batches

if TYPE_CHECKING:
    from mer.features.dataset import FeatureTable, RaggedTable


@dataclass(frozen=True)
class Adaptation:
    """Result of a fit: small (no weight of the frozen encoder is in it)."""

    tensors: Mapping[str, Tensor]
    """Adapters (`adapter/...`), pooling (`pooling/...`) and head (`head/...`) of the best epoch, on the CPU."""
    history: list[dict[str, float]]
    """Figures of each epoch."""
    best_epoch: int
    """Epoch (from 0) the tensors are of."""
    class_count: int


class AdaptedBlock(nn.Module):
    """Adapted layers, pooling and head."""

    def __init__(
        self, encoder: BlockEncoder, block: Block, config: AdaptationConfig, class_count: int
    ) -> None:
        super().__init__()
        self.layers = AdaptedLayers(encoder, block, config)
        self.head = EmotionHead(2 * encoder.width, class_count, config.head_dropout)
        if (rows := getattr(encoder, "label_rows", None)) is not None:
            if block.stop != encoder.layer_count:
                raise ConfigError(
                    f"label words: expected a block up to the last layer, {encoder.layer_count}, found {block}"
                )
            self.head.start_from(rows)
        self.pooling = counted_pooling(
            encoder, AttentivePooling(encoder.width) if config.pooling == "attention" else MeanStdPooling()
        )
        self.head.to(self.layers.device)
        self.pooling.to(self.layers.device)
        self.width = encoder.width
        self.class_count = class_count

    @property
    def embedding_size(self) -> int:
        """Features of the pooled embedding: mean and standard deviation of every hidden feature."""
        return 2 * self.width

    def embed(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Hidden state `start` (batch, frames, width) under mask (batch, frames) -> (batch, 2 * width)."""
        embedding: Tensor = self.pooling(self.layers(hidden, mask), mask)
        return embedding

    def fitted_tensors(self) -> dict[str, Tensor]:
        """All that is trained or fitted, by name, in place: adapters, pooling, head."""
        named: dict[str, Tensor] = {f"adapter/{name}": value for name, value in self.layers.trainable.items()}
        named |= {f"pooling/{name}": value for name, value in self.pooling.state_dict().items()}
        return named | {f"head/{name}": value for name, value in self.head.state_dict().items()}

    def small_tensors(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of `fitted_tensors`: what an `Adaptation` holds."""
        return {
            name: value.detach().cpu().clone().contiguous() for name, value in self.fitted_tensors().items()
        }

    def load_small_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Write back what `small_tensors` gave.

        Raises:
            WeightsError: names or shapes are not this block's.
        """
        fitted = self.fitted_tensors()
        shapes = {name: tuple(value.shape) for name, value in fitted.items()}
        loaded_shapes = {name: tuple(value.shape) for name, value in tensors.items()}
        if shapes != loaded_shapes:
            wrong = sorted(
                name
                for name in shapes.keys() | loaded_shapes.keys()
                if shapes.get(name) != loaded_shapes.get(name)
            )
            raise WeightsError(
                f"adapter does not fit its block: these tensors differ or are absent: {wrong[:5]}"
            )
        with torch.no_grad():
            for name, value in fitted.items():
                value.copy_(tensors[name])


def embed_rows(
    embed: Callable[[Tensor, Tensor], Tensor],
    store: FrameStore,
    rows: NDArray[np.int64],
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Apply `embed` to clips in batches sorted by length; (len(rows), features) in the order of `rows`."""
    position = {int(row): i for i, row in enumerate(rows)}
    out: NDArray[np.float32] | None = None
    with torch.inference_mode():
        for batch_rows in length_sorted_batches(rows, store.lengths, batch_size):
            batch = pad(store, batch_rows)
            values = embed(batch.hidden, batch.mask).float().cpu().numpy()
            if out is None:
                out = np.zeros((len(rows), values.shape[1]), dtype=np.float32)
            out[[position[int(row)] for row in batch_rows]] = values
    if out is None:
        raise ConfigError("expected at least one clip to embed, found none")
    return out


def adapted_features(adapted: AdaptedBlock, frames: RaggedTable, *, batch_size: int = 32) -> FeatureTable:
    """Mean+std pooled adapted hidden state `stop` of every clip.

    Args:
        adapted: a loaded or freshly trained block.
        frames: cached hidden state `start` of the clips.
        batch_size: clips at a time.

    Returns:
        Table (clips, 2 * width); zeros, and present False, where the clip has no sound.
    """
    from mer.features.dataset import FeatureTable

    store = FrameStore.of(frames, device=adapted.layers.device)
    present = np.asarray(frames.present, dtype=bool)
    values = np.zeros((len(frames.clip_ids), adapted.embedding_size), dtype=np.float32)
    adapted.eval()
    if present.any():
        values[present] = embed_rows(adapted.embed, store, np.flatnonzero(present), batch_size)
    return FeatureTable(clip_ids=tuple(frames.clip_ids), values=values, present=present)
