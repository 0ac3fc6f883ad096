"""Encoders of face crops: CLIP, other vision transformers, and a small seeded CLIP tower that alignment
trains.

Known (zeroQiaoba/MERTools): a clip's CLIP feature is `get_image_features` of its face crops, averaged over
frames.
Reconstruction: `seed:clip-tiny` stands in for the large visual encoder of system A where nothing may be
downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.encoders.loading import model_type, pretrained
from mer.encoders.weights import ResolvedWeights, resolve_seeded, seed_of
from mer.errors import ConfigError, WeightsError

Crops = NDArray[np.uint8]

CLIP_TYPES = ("clip", "clip_vision_model")
CLASS_TOKEN_TYPES = ("vit", "deit", "beit", "dinov2", "data2vec-vision")

CLIP_TINY: dict[str, Any] = {
    "hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4,
    "image_size": 64, "patch_size": 16, "projection_dim": 96,
}  # fmt: skip


class VisualEncoder(Protocol):
    """A frozen picture encoder."""

    width: int
    """Features of a hidden state."""
    output_width: int
    """Features of the output."""
    layer_count: int

    def output(self, crops: Crops) -> Tensor:
        """uint8 (frames, height, width, 3) RGB -> (frames, output_width)."""
        ...

    def states(self, crops: Crops, wanted: Sequence[int]) -> list[Tensor]:
        """Class token of the hidden states `wanted`, each (frames, width); the last one before any final
        norm.
        """
        ...


class FaceEncoder(nn.Module):
    """Small CLIP vision tower over 64-pixel face crops; trainable.

    Args:
        seed: of the initialisation; the global random state is left as it was.
    """

    def __init__(self, seed: int) -> None:
        from transformers import CLIPVisionConfig, CLIPVisionModel

        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model: Any = CLIPVisionModel(CLIPVisionConfig(**CLIP_TINY))
        self.width = self.output_width = int(CLIP_TINY["hidden_size"])
        self.layer_count = int(CLIP_TINY["num_hidden_layers"])
        self.image_size = int(CLIP_TINY["image_size"])

    def forward(self, crops: Tensor) -> Tensor:
        """uint8 (batch, size, size, 3) RGB -> (batch, width): normed class token."""
        pooled: Tensor = self.model(pixel_values=self.pixels(crops)).pooler_output
        return pooled

    def pixels(self, crops: Tensor) -> Tensor:
        """uint8 (batch, size, size, 3) -> float (batch, 3, 64, 64) in [-1, 1]."""
        values = crops.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0
        if values.shape[-2:] != (self.image_size, self.image_size):
            side = (self.image_size, self.image_size)
            values = nn.functional.interpolate(values, side, mode="bilinear", antialias=True)
        return values

    def output(self, crops: Crops) -> Tensor:
        """See `VisualEncoder.output`."""
        with torch.inference_mode():
            vectors: Tensor = self(torch.from_numpy(crops))
        return vectors

    def states(self, crops: Crops, wanted: Sequence[int]) -> list[Tensor]:
        """See `VisualEncoder.states`."""
        with torch.inference_mode():
            out = self.model(pixel_values=self.pixels(torch.from_numpy(crops)), output_hidden_states=True)
        return [out.hidden_states[index][:, 0] for index in wanted]


class PretrainedVisual:
    """CLIP or another vision transformer with a class token, by `from_pretrained`.

    Args:
        model: CLIPModel, CLIPVisionModelWithProjection, or a model with a class token first.
        processor: image processor of the same checkpoint.
        projected: whether the output is CLIP's projected image feature (otherwise the last class token).
    """

    def __init__(self, model: Any, processor: Any, *, projected: bool) -> None:
        self._tower = getattr(model, "vision_model", model)
        self._projection = model.visual_projection if projected else None
        self._processor = processor
        config = getattr(model.config, "vision_config", model.config)
        self.width = int(config.hidden_size)
        self.layer_count = int(config.num_hidden_layers)
        self.output_width = int(self._projection.out_features) if self._projection is not None else self.width

    def output(self, crops: Crops) -> Tensor:
        """See `VisualEncoder.output`."""
        with torch.inference_mode():
            out = self._tower(pixel_values=self._pixels(crops))
            if self._projection is None:
                token: Tensor = out.last_hidden_state[:, 0]
                return token
            projected: Tensor = self._projection(out.pooler_output)
            return projected

    def states(self, crops: Crops, wanted: Sequence[int]) -> list[Tensor]:
        """See `VisualEncoder.states`."""
        with torch.inference_mode():
            out = self._tower(pixel_values=self._pixels(crops), output_hidden_states=True)
        return [out.hidden_states[index][:, 0] for index in wanted]

    def _pixels(self, crops: Crops) -> Tensor:
        pixels: Tensor = self._processor(images=list(crops), return_tensors="pt").pixel_values
        return pixels


def face_encoder(source: str) -> FaceEncoder:
    """A fresh trainable encoder of face crops.

    Raises:
        ConfigError: only `seed:clip-tiny` can be trained from crops so far.
    """
    return _seeded(resolve_seeded(source))


def load_visual(resolved: ResolvedWeights) -> VisualEncoder:
    """Load a picture encoder: float32, evaluation mode, on the CPU.

    Raises:
        ConfigError: not a supported picture encoder.
        WeightsError: weights or image processor cannot be read.
    """
    if resolved.source.startswith("seed:"):
        return _seeded(resolved).eval().requires_grad_(False)
    kind = model_type(resolved)
    if kind in CLIP_TYPES:
        from transformers import CLIPModel, CLIPVisionModelWithProjection

        model = pretrained(CLIPModel if kind == "clip" else CLIPVisionModelWithProjection, resolved)
        return PretrainedVisual(model, _processor(resolved), projected=True)
    if kind in CLASS_TOKEN_TYPES:
        from transformers import AutoModel

        # poolers are trained on top of some checkpoints only; they are not used here
        model = pretrained(AutoModel, resolved, unused=("pooler.",))
        return PretrainedVisual(model, _processor(resolved), projected=False)
    known = ", ".join((*CLIP_TYPES, *CLASS_TOKEN_TYPES))
    raise ConfigError(f"{resolved.source}: expected a picture encoder of type {known}, found {kind!r}")


def _seeded(resolved: ResolvedWeights) -> FaceEncoder:
    if not resolved.identity.startswith("seed:clip-tiny:"):
        raise ConfigError(f"source {resolved.source!r}: expected seed:clip-tiny or seed:clip-tiny@<seed>")
    return FaceEncoder(seed_of(resolved))


def _processor(resolved: ResolvedWeights) -> Any:
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(
            resolved.folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise WeightsError(f"{resolved.source}: no usable preprocessor_config.json: {error}") from error
