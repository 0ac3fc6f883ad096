"""VideoMAE (Tong et al. 2022): clips of 16 frames, read as tubelets of two frames.

A clip's frames are spread over whole windows (a frame is shown twice where there are fewer, nothing is blank);
every window is one pass. There is no class token: the vector of a tubelet is the mean (or sum) of its patches.
Known (zeroQiaoba/MERTools): one window of 16 frames, the last hidden state, the mean over patches per tubelet.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.encoders.frame_tokens import Tokens
from mer.encoders.layer_tap import layers_of, run_tapped
from mer.encoders.loading import image_processor, pretrained
from mer.encoders.placement import Placement
from mer.encoders.visual_reading import Crops, VisualReadings
from mer.encoders.weights import ResolvedWeights


class VideoEncoder(VisualReadings):
    """`VideoMAEModel` over windows of frames.

    Args:
        model: VideoMAEModel.
        processor: its image processor.
        placement: where the model is.
    """

    def __init__(self, model: Any, processor: Any, placement: Placement) -> None:
        self.module = model
        self.placement = placement
        self._processor = processor
        self._layers = layers_of(model)
        config = model.config
        self.window = int(config.num_frames)
        self._tubelet = int(config.tubelet_size)
        self.width = self.output_width = int(config.hidden_size)
        self.layer_count = int(config.num_hidden_layers)

    def pieces(self, crops: Crops) -> list[Crops]:
        """See `VisualEncoder.pieces`: windows, over which the frames are spread uniformly."""
        count = self.window * -(-len(crops) // self.window)
        chosen = crops[np.arange(count) * len(crops) // count]
        return [chosen[start : start + self.window] for start in range(0, count, self.window)]

    def rows(self, frames: int) -> int:
        """See `VisualEncoder.rows`: one a tubelet."""
        return frames // self._tubelet

    def read(
        self, crops: Crops, indices: Collection[int], *, output: bool, tokens: Tokens = "class"
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        """See `VisualEncoder.read`; the output is the last hidden state of transformers, after its norm."""
        if len(crops) % self.window:
            crops = np.concatenate(self.pieces(crops))
        pixels = self._processor(list(crops), return_tensors="pt").pixel_values  # (1, frames, 3, side, side)
        with torch.inference_mode():
            pixels = self.placement.put(pixels.reshape(-1, self.window, *pixels.shape[-3:]))
            states, out = run_tapped(
                lambda: self.module(pixel_values=pixels), self._layers, indices, whole=output
            )
            vectors = {index: self._tubelets(state, tokens) for index, state in states.items()}
            return vectors, None if out is None else self._tubelets(out.last_hidden_state, tokens)

    def _tubelets(self, state: Tensor, tokens: Tokens) -> Tensor:
        """(windows, tubelets * patches, width), tubelets outermost -> (windows * tubelets, width)."""
        patches = state.reshape(state.shape[0] * self.window // self._tubelet, -1, self.width)
        return patches.sum(dim=1) if tokens == "sum" else patches.mean(dim=1)


def load_videomae(resolved: ResolvedWeights, placement: Placement) -> VideoEncoder:
    """Load the encoder, in evaluation mode. Raises WeightsError where weights or processor cannot be read."""
    import transformers

    model = pretrained(transformers.VideoMAEModel, resolved, placement)
    return VideoEncoder(model, image_processor(resolved), placement)
