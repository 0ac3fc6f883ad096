"""Pretrained encoders of single pictures: CLIP, SigLIP, DINOv2, ViT, DeiT, BEiT, data2vec-vision.

The output of CLIP is `get_image_features` (class token, normed, projected), that of SigLIP its attention pool,
that of the others the class token (or what `tokens` says) of the last hidden state after the final norm.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.encoders.families import model_type
from mer.encoders.frame_tokens import Tokens
from mer.encoders.layer_tap import layers_of, run_tapped
from mer.encoders.loading import image_processor, pretrained
from mer.encoders.picture_layers import PictureLayers, tokens_of
from mer.encoders.placement import Placement
from mer.encoders.visual_reading import Crops, VisualReadings, read_tokens
from mer.encoders.weights import ResolvedWeights

CLASS_TOKEN = 1
"""Leading tokens of a plain vision transformer."""


class PictureEncoder(VisualReadings):
    """A vision transformer by `from_pretrained`.

    Args:
        model: the vision encoder.
        processor: image processor of the same checkpoint.
        placement: where the model is.
        projection: CLIP's linear map from the pooled class token to the output.
        leading_tokens: tokens before the patches; 0 where there is no class token (SigLIP).
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        placement: Placement,
        *,
        projection: Any = None,
        leading_tokens: int = CLASS_TOKEN,
    ) -> None:
        self.module = model
        self.placement = placement
        self._processor = processor
        self.projection = projection
        self._layers = layers_of(model)
        self._leading = leading_tokens + (model.config.model_type == "deit")
        self.width = int(model.config.hidden_size)
        self.layer_count = int(model.config.num_hidden_layers)
        self.output_width = self.width if projection is None else int(projection.out_features)

    def read(
        self, crops: Crops, indices: Collection[int], *, output: bool, tokens: Tokens = "class"
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        """See `VisualEncoder.read`."""
        pixels = self._processor(images=list(crops), return_tensors="pt").pixel_values
        with torch.inference_mode():
            pixels = self.placement.put(pixels)
            states, out = run_tapped(
                lambda: self.module(pixel_values=pixels), self._layers, indices, whole=output
            )
            vectors = {index: read_tokens(state, tokens, self._leading) for index, state in states.items()}
            return vectors, None if out is None else self._output(out, tokens)

    def layers(self, reads: Tokens = "class") -> PictureLayers:
        """See `VisualEncoder.layers`."""
        black = np.zeros(
            (32, 32, 3), dtype=np.uint8
        )  # the processor, not config.json, says how large pictures get
        pixels = self.placement.put(self._processor(images=[black], return_tensors="pt").pixel_values)
        return PictureLayers(
            self.module, self._leading, tokens_of(self.module, pixels), reads, self.placement
        )

    def output_of(self, crops: Crops) -> Tensor:
        """The output (frames, output_width) of uint8 crops (frames, height, width, 3), with gradients for training."""
        pixels = self._processor(images=list(crops), return_tensors="pt").pixel_values
        device = next(self.module.parameters()).device  # training may have moved it from where it was placed
        return self._output(self.module(pixel_values=pixels.to(device)), "class")

    def _output(self, out: Any, tokens: Tokens) -> Tensor:
        if self.projection is not None:
            projected: Tensor = self.projection(out.pooler_output)
            return projected
        if not self._leading:  # SigLIP
            pooled: Tensor = out.pooler_output
            return pooled
        return read_tokens(out.last_hidden_state, tokens, self._leading)


def load_clip(resolved: ResolvedWeights, placement: Placement) -> PictureEncoder:
    """CLIP's vision encoder, of a checkpoint with or without the text encoder. Raises WeightsError."""
    import transformers

    whole = model_type(resolved) == "clip"
    kind = transformers.CLIPModel if whole else transformers.CLIPVisionModelWithProjection
    model = pretrained(kind, resolved, placement)
    processor = image_processor(resolved)
    return PictureEncoder(model.vision_model, processor, placement, projection=model.visual_projection)


def load_siglip(resolved: ResolvedWeights, placement: Placement) -> PictureEncoder:
    """SigLIP's vision encoder, which has no class token. Raises WeightsError."""
    import transformers

    model = pretrained(transformers.SiglipVisionModel, resolved, placement)
    return PictureEncoder(model, image_processor(resolved), placement, leading_tokens=0)


def load_class_token(resolved: ResolvedWeights, placement: Placement) -> PictureEncoder:
    """A vision transformer with a class token. Raises WeightsError."""
    import transformers

    # poolers are trained on top of some checkpoints only; they are not used here
    model = pretrained(transformers.AutoModel, resolved, placement, unused=("pooler.",))
    return PictureEncoder(model, image_processor(resolved), placement)
