"""The alignment in use: vectors or face crops of the trained side in, joint-space embeddings out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.alignment.config import AlignmentConfig
from mer.alignment.contrastive import LearnedTemperature
from mer.alignment.projectors import AnchorMap, AnchorProjector, TrainedProjector
from mer.alignment.trunk import (
    Trunk,
    crop_encoder,
    learnt_tensors,
    load_learnt,
    prepare_encoder,
)
from mer.errors import ConfigError

if TYPE_CHECKING:
    from mer.features.dataset import FeatureTable


@dataclass(frozen=True, kw_only=True)
class AlignmentShape:
    """Structure of the model: enough to build it again."""

    trained_input: Literal["vectors", "crops"]
    """What the trained side is given."""
    source: str | None
    """Source of the trainable encoder of crops; None for vectors."""
    trained_features: int
    """Width of the trained side's vector, or of the encoder's output."""
    anchor_features: int
    """Width of the anchor's vector."""
    anchor_components: int
    anchor_projector: AnchorMap
    hidden_size: int
    embedding_size: int
    dropout: float
    trunk: Trunk = "full"
    """Which weights of the encoder of crops were trained."""
    lora_rank: int = 8
    lora_alpha: float = 16.0


@dataclass(frozen=True)
class Alignment:
    """A fitted alignment."""

    tensors: Mapping[str, Tensor]
    """Weights of both sides at the best epoch, on the CPU; of a crops encoder, what was trained of it."""
    history: list[dict[str, float]]
    """Figures of each epoch."""
    retrieval: dict[str, float]
    """Recall at 1, 5, 10 both ways on the held-out clips, with the chance level (`chance_r1`, ...)."""
    shape: AlignmentShape
    config: AlignmentConfig
    best_epoch: int
    """Epoch (from 0) the tensors are of."""
    weights: Path | None = None
    """Folder for checksums of a pre-trained encoder of crops; None where there is no such encoder."""

    @property
    def chance(self) -> dict[str, float]:
        """Chance level of the recall on the held-out clips, by rank."""
        return {name: value for name, value in self.retrieval.items() if name.startswith("chance_")}

    def build(self) -> AlignedModel:
        """The model with these weights, in evaluation mode."""
        model = AlignedModel(self.shape, self.config, self.weights)
        load_learnt(model, self.tensors, self.shape.trunk)
        return model.eval()


class AlignedModel(nn.Module):
    """Encoder of the trained side (for crops), both projectors and the temperature."""

    def __init__(self, shape: AlignmentShape, config: AlignmentConfig, weights: Path | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.encoder: nn.Module | None = None
        if shape.trained_input == "crops":
            encoder = crop_encoder(shape.source, weights)
            prepare_encoder(encoder, shape.trunk, shape.lora_rank, shape.lora_alpha)
            self.encoder = encoder
        self.trained_projector = TrainedProjector(
            shape.trained_features, shape.hidden_size, shape.embedding_size, shape.dropout
        )
        self.anchor_projector = AnchorProjector(
            shape.anchor_features,
            shape.anchor_components,
            shape.embedding_size,
            shape.anchor_projector,
        )
        self.temperature = LearnedTemperature(config.temperature, config.temperature_range)

    def train(self, mode: bool = True) -> AlignedModel:
        """Projectors change mode; the encoder only where all of it is trained."""
        super().train(mode)
        if self.encoder is not None and self.shape.trunk != "full":
            self.encoder.eval()
        return self

    def learnt(self) -> dict[str, Tensor]:
        """Copies on the CPU of all tensors that the encoder's source does not hold."""
        return {
            name: value.detach().cpu().clone()
            for name, value in learnt_tensors(self, self.shape.trunk).items()
        }

    def trained_vectors(self, values: Tensor) -> Tensor:
        """Vectors (batch, features) as they are; of frames (batch, frames, features) their mean.

        Crops uint8 (batch, frames, size, size, 3) -> mean over frames.
        """
        if values.is_floating_point():
            return values if values.ndim == 2 else values.mean(dim=1)
        assert self.encoder is not None
        return self.frame_vectors(values).mean(dim=1)

    def frame_vectors(self, crops: Tensor) -> Tensor:
        """Crops uint8 (batch, frames, size, size, 3) -> (batch, frames, features)."""
        assert self.encoder is not None
        batch, frames = crops.shape[:2]
        vectors: Tensor = self.encoder(crops.flatten(0, 1))  # (batch * frames, features)
        return vectors.view(batch, frames, -1)

    def embed_trained(self, values: Tensor) -> Tensor:
        """Input of the trained side -> (batch, embedding_size) of unit length."""
        embedding: Tensor = self.trained_projector(self.trained_vectors(values))
        return embedding

    def embed_anchor(self, values: Tensor) -> Tensor:
        """Vectors of the anchor (batch, features) -> (batch, embedding_size) of unit length.

        No gradient flows back.
        """
        embedding: Tensor = self.anchor_projector(values.detach())
        return embedding


def as_trained_input(values: NDArray[Any]) -> Tensor:
    """Vectors as float32 (clips, features), or crops as uint8 (clips, frames, size, size, 3).

    Raises:
        ConfigError: neither.
    """
    if values.dtype == np.uint8 and values.ndim == 5:
        return torch.from_numpy(np.ascontiguousarray(values))
    if np.issubdtype(values.dtype, np.floating) and values.ndim == 2:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    raise ConfigError(
        "alignment: expected vectors (clips, features) or crops uint8 (clips, frames, size, size, 3), "
        f"found {values.dtype} {values.shape}"
    )


def embed_in_batches(model: AlignedModel, values: Tensor, *, batch_size: int = 64) -> NDArray[np.float32]:
    """(clips, embedding_size) unit vectors of all clips, from all frames, in evaluation mode."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        embeddings = [
            model.embed_trained(batch.to(device)).cpu() for batch in torch.split(values, batch_size)
        ]
    return (
        torch.cat(embeddings).numpy()
        if embeddings
        else np.zeros((0, model.shape.embedding_size), dtype=np.float32)
    )


def aligned_features(alignment: Alignment, values: NDArray[Any]) -> NDArray[np.float32]:
    """Aligned embeddings, (clips, embedding_size) unit vectors.

    Args:
        alignment: a fitted or loaded alignment. values: of the trained side: vectors (clips, features), or crops
        uint8 (clips, frames, size, size, 3); any number of frames.
    """
    return embed_in_batches(alignment.build(), as_trained_input(values))


def raw_vectors(alignment: Alignment, values: NDArray[Any]) -> NDArray[np.float32]:
    """Vectors of the trained side before the alignment, (clips, features): as given, or the mean over frames of the encoder as
    its source gives it.
    """
    model = AlignedModel(alignment.shape, alignment.config, alignment.weights).eval()
    with torch.inference_mode():
        vectors = [model.trained_vectors(batch) for batch in torch.split(as_trained_input(values), 64)]
    return torch.cat(vectors).numpy()


def aligned_table(alignment: Alignment, table: FeatureTable) -> FeatureTable:
    """Aligned embeddings of a table of the trained side; absent clips stay absent, with zeros."""
    from mer.features.dataset import FeatureTable

    values = np.zeros((len(table.clip_ids), alignment.shape.embedding_size), dtype=np.float32)
    if table.present.any():
        values[table.present] = aligned_features(alignment, table.values[table.present])
    return FeatureTable(clip_ids=table.clip_ids, values=values, present=table.present)
