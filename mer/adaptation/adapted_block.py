"""The adapted block in use.

Hidden state `start` in, pooled embedding of the adapted state `stop` out; saving and loading.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from mer.adaptation.adapters import AdaptedLayers, BlockEncoder
from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.counted_tokens import counted_pooling
from mer.adaptation.padded_batches import FrameStore, length_sorted_batches, pad
from mer.adaptation.pooling import masked_mean_std
from mer.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from mer.features.dataset import FeatureTable, RaggedTable

TENSORS = "adapter.safetensors"
RECORD = "adapter.json"
FORMAT = 1


@dataclass(frozen=True)
class Adaptation:
    """Result of a fit: small (no weight of the frozen encoder is in it)."""

    tensors: Mapping[str, Tensor]
    """Adapters (`adapter/...`) and head (`head/...`) of the best epoch, on the CPU."""
    history: list[dict[str, float]]
    """Figures of each epoch."""
    best_epoch: int
    """Epoch (from 0) the tensors are of."""
    class_count: int


class EmotionHead(nn.Module):
    """Linear classifier on the pooled embedding, standardised by the frozen block's statistics."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(features, classes)
        nn.init.zeros_(self.classify.weight)
        nn.init.zeros_(self.classify.bias)
        self._rows: Tensor | None = None

    def start_from(self, rows: Tensor) -> None:
        """Begin as the classifier `rows @ embedding` (label words) instead of at zero, once standardised.

        Args:
            rows: (classes, n) for the first n features of the embedding, the means.

        Raises:
            ConfigError: not one row a class.
        """
        classes, features = self.classify.weight.shape
        if len(rows) != classes or rows.shape[1] > features:
            raise ConfigError(f"expected {classes} label words, one a class, found {len(rows)}")
        self._rows = functional.pad(rows, (0, features - rows.shape[1]))

    def standardise_to(self, embeddings: Tensor) -> None:
        """Take mean and deviation from (clips, features), those of the frozen block on the training clips.

        Clips that are not finite are left out: one of them costs its own steps, not all.
        """
        embeddings = embeddings[embeddings.isfinite().all(dim=1)]
        self.mean.copy_(embeddings.mean(dim=0))
        self.deviation.copy_(embeddings.std(dim=0, correction=0).clamp(min=1e-6))
        if self._rows is not None:
            rows = self._rows.to(self.mean)
            with torch.no_grad():  # rows @ e = (rows * deviation) @ ((e - mean) / deviation) + rows @ mean
                self.classify.weight.copy_(rows * self.deviation)
                self.classify.bias.copy_(rows @ self.mean)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, features) -> logits (batch, classes)."""
        logits: Tensor = self.classify(self.dropout((embedding - self.mean) / self.deviation))
        return logits


class AdaptedBlock(nn.Module):
    """Adapted layers, pooling and head."""

    def __init__(
        self, encoder: BlockEncoder, block: Block, config: AdaptationConfig, class_count: int
    ) -> None:
        super().__init__()
        self.layers = AdaptedLayers(encoder, block, config)
        self.head = EmotionHead(2 * encoder.width, class_count, config.head_dropout).to(self.layers.device)
        if (rows := getattr(encoder, "label_rows", None)) is not None:
            self.head.start_from(rows)
        self.pooling = counted_pooling(encoder, masked_mean_std)
        self.width = encoder.width

    @property
    def embedding_size(self) -> int:
        """Features of the pooled embedding: mean and standard deviation of every hidden feature."""
        return 2 * self.width

    def embed(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Hidden state `start` (batch, frames, width) under mask (batch, frames) -> (batch, 2 * width)."""
        return self.pooling(self.layers(hidden, mask), mask)

    def small_tensors(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of all that was trained or fitted: what an `Adaptation` holds."""
        named = {f"adapter/{name}": value for name, value in self.layers.trainable.items()}
        named |= {f"head/{name}": value for name, value in self.head.state_dict().items()}
        return {name: value.detach().cpu().clone().contiguous() for name, value in named.items()}

    def load_small_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Write back what `small_tensors` gave.

        Raises:
            WeightsError: names or shapes are not this block's.
        """
        own = {f"adapter/{name}": value for name, value in self.layers.trainable.items()}
        own |= {f"head/{name}": value for name, value in self.head.state_dict().items()}
        shapes = {name: tuple(value.shape) for name, value in own.items()}
        found = {name: tuple(value.shape) for name, value in tensors.items()}
        if shapes != found:
            wrong = sorted(
                name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name)
            )
            raise WeightsError(
                f"adapter does not fit its block: these tensors differ or are absent: {wrong[:5]}"
            )
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(tensors[name])


def embed_rows(
    embed: Callable[[Tensor, Tensor], Tensor],
    store: FrameStore,
    rows: NDArray[np.int64],
    device: torch.device,
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Apply `embed` to clips in batches sorted by length; (len(rows), features) in the order of `rows`."""
    place = {int(row): i for i, row in enumerate(rows)}
    out: NDArray[np.float32] | None = None
    with torch.inference_mode():
        for batch_rows in length_sorted_batches(rows, store.lengths, batch_size):
            batch = pad(store, batch_rows, device)
            values = embed(batch.hidden, batch.mask).float().cpu().numpy()
            if out is None:
                out = np.zeros((len(rows), values.shape[1]), dtype=np.float32)
            out[[place[int(row)] for row in batch_rows]] = values
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

    store = FrameStore.of(frames)
    present = np.asarray(frames.present, dtype=bool)
    values = np.zeros((len(frames.clip_ids), adapted.embedding_size), dtype=np.float32)
    adapted.eval()
    if present.any():
        values[present] = embed_rows(
            adapted.embed, store, np.flatnonzero(present), adapted.layers.device, batch_size
        )
    return FeatureTable(clip_ids=tuple(frames.clip_ids), values=values, present=present)


def save_adapter(
    folder: Path, adaptation: Adaptation, base_identity: str, block: Block, config: AdaptationConfig
) -> None:
    """Write the adapter (safetensors) and what it belongs to (JSON, written last) into `folder`.

    Args:
        folder: created where absent.
        adaptation: the fit's result.
        base_identity: identity of the encoder's weights (`ResolvedWeights.identity`).
        block: the layers it was trained in.
        config: options it was trained with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in adaptation.tensors.items()}, folder / TENSORS)
    record = {
        "format": FORMAT,
        "base_identity": base_identity,
        "block": {"start": block.start, "stop": block.stop},
        "config": config.model_dump(mode="json"),
        "class_count": adaptation.class_count,
        "best_epoch": adaptation.best_epoch,
        "history": adaptation.history,
        "sha256": hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest(),
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")


def load_adapter(folder: Path, encoder: BlockEncoder, base_identity: str) -> AdaptedBlock:
    """Put a saved adapter on a copy of its encoder; the encoder itself is unchanged.

    Raises:
        WeightsError: the files are absent, damaged, or belong to other base weights.
    """
    record = _read_record(folder)
    if record["base_identity"] != base_identity:
        raise WeightsError(
            f"adapter {folder}: trained on encoder {record['base_identity']}, found {base_identity}; "
            "load the encoder it was trained on, or adapt again"
        )
    try:
        if hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest() != record["sha256"]:
            raise WeightsError(f"adapter {folder}: {TENSORS} is not what was saved (sha256 differs)")
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"adapter {folder}: {TENSORS} cannot be read: {error}") from error
    block = Block(start=record["block"]["start"], stop=record["block"]["stop"])
    config = AdaptationConfig.model_validate(record["config"])
    adapted = AdaptedBlock(encoder, block, config, int(record["class_count"]))
    adapted.load_small_tensors(tensors)
    return adapted.eval()


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"adapter {folder}: {RECORD} cannot be read: {error}") from error
    needed = {"base_identity", "block", "config", "class_count", "sha256"}
    if not isinstance(record, dict) or record.get("format") != FORMAT or not needed <= record.keys():
        raise WeightsError(f"adapter {folder}: expected {RECORD} of format {FORMAT}, found something else")
    return record
