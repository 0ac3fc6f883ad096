"""Encoders of face crops by configuration, and a small seeded CLIP vision encoder that alignment trains.

Known (zeroQiaoba/MERTools): a clip's CLIP feature is `get_image_features` of its face crops, averaged over
frames.
Reconstruction: `seed:clip-tiny` stands in for the large visual encoder of system A where nothing may be
downloaded.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from mer.encoders.families import PICTURES, SEEDED, model_type
from mer.encoders.frame_tokens import Tokens
from mer.encoders.layer_tap import layers_of, run_tapped
from mer.encoders.picture_layers import PictureLayers, tokens_of
from mer.encoders.pictures import CLASS_TOKEN
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.visual_reading import Crops, VisualEncoder, VisualReadings, read_tokens
from mer.encoders.weights import ResolvedWeights, resolve_seeded, seed_of
from mer.errors import ConfigError

CLIP_TINY: dict[str, Any] = {
    "hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4,
    "image_size": 64, "patch_size": 16, "projection_dim": 96,
}  # fmt: skip


class FaceEncoder(VisualReadings, nn.Module):
    """Small CLIP vision encoder over 64-pixel face crops; trainable.

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

    def layers(self, reads: Tokens = "class") -> PictureLayers:
        """See `VisualEncoder.layers`."""
        pixels = torch.zeros(1, 3, self.image_size, self.image_size)
        return PictureLayers(self.model, CLASS_TOKEN, tokens_of(self.model, pixels), reads)

    def read(
        self, crops: Crops, indices: Collection[int], *, output: bool, tokens: Tokens = "class"
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        """See `VisualEncoder.read`; the output is the normed class token."""
        with torch.inference_mode():
            pixels = self.pixels(torch.from_numpy(crops))
            layers = layers_of(self.model)
            states, out = run_tapped(lambda: self.model(pixel_values=pixels), layers, indices, whole=output)
        vectors = {index: read_tokens(state, tokens, CLASS_TOKEN) for index, state in states.items()}
        return vectors, None if out is None else out.pooler_output


def face_encoder(source: str) -> FaceEncoder:
    """A fresh trainable encoder of face crops.

    Raises:
        ConfigError: only `seed:clip-tiny` can be trained from crops so far.
    """
    return _seeded(resolve_seeded(source))


def load_visual(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> VisualEncoder:
    """Load an encoder of pictures, or of video, in evaluation mode; seeded ones stay on the CPU in fp32.

    Raises:
        ConfigError: not a supported encoder.
        WeightsError: weights or image processor cannot be read.
    """
    seeded = resolved.source.startswith("seed:")
    kind = SEEDED if seeded else model_type(resolved)
    known = [name for name in PICTURES if name != SEEDED]
    if not seeded and kind not in known:
        raise ConfigError(
            f"{resolved.source}: expected a visual encoder of type {', '.join(known)}, found {kind!r}"
        )
    encoder: VisualEncoder = PICTURES.load(kind)(resolved, placement)
    return encoder


def load_seeded(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> FaceEncoder:
    """A seeded encoder as it is, in evaluation mode, wherever others are placed. Raises ConfigError for an unknown name."""
    return _seeded(resolved).eval().requires_grad_(False)


def _seeded(resolved: ResolvedWeights) -> FaceEncoder:
    if not resolved.identity.startswith("seed:clip-tiny:"):
        raise ConfigError(f"source {resolved.source!r}: expected seed:clip-tiny or seed:clip-tiny@<seed>")
    return FaceEncoder(seed_of(resolved))
