"""The alignment in use: visual vectors or face crops in, joint-space embeddings out; saving and loading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mer.alignment.config import AlignmentConfig
from mer.alignment.contrastive import LearnedTemperature
from mer.alignment.projectors import AcousticProjector, VisualProjector
from mer.alignment.trunk import (
    Trunk,
    crop_encoder,
    learnt_tensors,
    load_learnt,
    prepare_encoder,
    resolved_encoder,
)
from mer.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from mer.features.dataset import FeatureTable

TENSORS = "alignment.safetensors"
RECORD = "alignment.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class AlignmentShape:
    """Structure of the model: enough to build it again."""

    visual: Literal["vectors", "crops"]
    source: str | None
    """Source of the trainable encoder of crops; None for vectors."""
    visual_features: int
    """Width of the visual vector, or of the encoder's output."""
    acoustic_features: int
    acoustic_components: int
    acoustic_projector: Literal["linear", "whiten"]
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
    """Visual encoder (for crops), both projectors and the temperature."""

    def __init__(self, shape: AlignmentShape, config: AlignmentConfig, weights: Path | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.encoder: nn.Module | None = None
        if shape.visual == "crops":
            encoder = crop_encoder(shape.source, weights)
            prepare_encoder(encoder, shape.trunk, shape.lora_rank, shape.lora_alpha)
            self.encoder = encoder
        self.visual = VisualProjector(
            shape.visual_features, shape.hidden_size, shape.embedding_size, shape.dropout
        )
        self.acoustic = AcousticProjector(
            shape.acoustic_features,
            shape.acoustic_components,
            shape.embedding_size,
            shape.acoustic_projector,
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

    def visual_vectors(self, visual: Tensor) -> Tensor:
        """Vectors (batch, features) as they are; of frames (batch, frames, features) their mean.

        Crops uint8 (batch, frames, size, size, 3) -> mean over frames.
        """
        if visual.is_floating_point():
            return visual if visual.ndim == 2 else visual.mean(dim=1)
        assert self.encoder is not None
        return self.frame_vectors(visual).mean(dim=1)

    def frame_vectors(self, crops: Tensor) -> Tensor:
        """Crops uint8 (batch, frames, size, size, 3) -> (batch, frames, features)."""
        assert self.encoder is not None
        batch, frames = crops.shape[:2]
        vectors: Tensor = self.encoder(crops.flatten(0, 1))  # (batch * frames, features)
        return vectors.view(batch, frames, -1)

    def see(self, visual: Tensor) -> Tensor:
        """Visual input -> (batch, embedding_size) of unit length."""
        embedding: Tensor = self.visual(self.visual_vectors(visual))
        return embedding

    def hear(self, acoustic: Tensor) -> Tensor:
        """Acoustic embedding (batch, features) -> (batch, embedding_size) of unit length.

        No gradient flows back.
        """
        embedding: Tensor = self.acoustic(acoustic.detach())
        return embedding


def as_visual_input(visual: NDArray[Any]) -> Tensor:
    """Vectors as float32 (clips, features), or crops as uint8 (clips, frames, size, size, 3).

    Raises:
        ConfigError: neither.
    """
    if visual.dtype == np.uint8 and visual.ndim == 5:
        return torch.from_numpy(np.ascontiguousarray(visual))
    if np.issubdtype(visual.dtype, np.floating) and visual.ndim == 2:
        return torch.from_numpy(np.ascontiguousarray(visual, dtype=np.float32))
    raise ConfigError(
        "alignment: expected visual vectors (clips, features) or crops uint8 (clips, frames, size, size, 3), "
        f"found {visual.dtype} {visual.shape}"
    )


def embed_visual(model: AlignedModel, visual: Tensor, *, batch_size: int = 64) -> NDArray[np.float32]:
    """(clips, embedding_size) unit vectors of all clips, from all frames, in evaluation mode."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        embeddings = [model.see(batch.to(device)).cpu() for batch in torch.split(visual, batch_size)]
    return (
        torch.cat(embeddings).numpy()
        if embeddings
        else np.zeros((0, model.shape.embedding_size), dtype=np.float32)
    )


def aligned_features(alignment: Alignment, visual: NDArray[Any]) -> NDArray[np.float32]:
    """Aligned visual embeddings, (clips, embedding_size) unit vectors.

    Args:
        alignment: a fitted or loaded alignment. visual: vectors (clips, features), or crops uint8 (clips,
        frames, size, size, 3); any number of frames.
    """
    return embed_visual(alignment.build(), as_visual_input(visual))


def raw_vectors(alignment: Alignment, visual: NDArray[Any]) -> NDArray[np.float32]:
    """Visual vectors before the alignment, (clips, features): as given, or the mean over frames of the encoder as
    its source gives it.
    """
    model = AlignedModel(alignment.shape, alignment.config, alignment.weights).eval()
    with torch.inference_mode():
        vectors = [model.visual_vectors(batch) for batch in torch.split(as_visual_input(visual), 64)]
    return torch.cat(vectors).numpy()


def aligned_table(alignment: Alignment, visual: FeatureTable) -> FeatureTable:
    """Aligned visual embeddings of a table; absent clips stay absent, with zeros."""
    from mer.features.dataset import FeatureTable

    values = np.zeros((len(visual.clip_ids), alignment.shape.embedding_size), dtype=np.float32)
    if visual.present.any():
        values[visual.present] = aligned_features(alignment, visual.values[visual.present])
    return FeatureTable(clip_ids=visual.clip_ids, values=values, present=visual.present)


def save_alignment(folder: Path, alignment: Alignment) -> None:
    """Write weights (safetensors) and record (JSON, written last) into `folder`, created where absent."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in alignment.tensors.items()}, folder / TENSORS)
    record = {
        "format": FORMAT,
        "shape": asdict(alignment.shape),
        "config": alignment.config.model_dump(mode="json"),
        "retrieval": alignment.retrieval,
        "best_epoch": alignment.best_epoch,
        "history": alignment.history,
        "encoder": _encoder_identity(alignment.shape, alignment.weights),
        "sha256": hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest(),
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")


def _encoder_identity(shape: AlignmentShape, weights: Path | None) -> str | None:
    """Identity of the encoder's weights; None for vectors."""
    return None if shape.source is None else resolved_encoder(shape.source, weights).identity


def load_alignment(folder: Path, weights: Path | None = None) -> Alignment:
    """Read what `save_alignment` wrote.

    Args:
        folder: of the alignment. weights: folder for checksums of a pre-trained encoder of crops.

    Raises:
        WeightsError: files are absent, damaged or of another format, or the encoder of crops that the source
        names now is not the one that was trained on.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise WeightsError(f"alignment {folder}: expected format {FORMAT}, found {record['format']}")
        if hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest() != record["sha256"]:
            raise WeightsError(f"alignment {folder}: {TENSORS} is not what was saved (sha256 differs)")
        shape = AlignmentShape(**record["shape"])
        trained_on, current = record.get("encoder"), _encoder_identity(shape, weights)
        if trained_on not in (None, current):
            raise WeightsError(
                f"alignment {folder}: trained on {trained_on}, found {current} at {shape.source}"
            )
        return Alignment(
            tensors=load_file(folder / TENSORS),
            history=record["history"],
            retrieval=record["retrieval"],
            shape=shape,
            config=AlignmentConfig.model_validate(record["config"]),
            best_epoch=int(record["best_epoch"]),
            weights=weights,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise WeightsError(f"alignment {folder}: cannot be read: {error}") from error
