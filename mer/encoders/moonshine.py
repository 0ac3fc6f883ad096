"""Moonshine's encoder as a stack of layers (Jeffries et al. 2024): three convolutions, rotary positions, pre-
norm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.moonshine.modeling_moonshine import MoonshineEncoder

from mer.encoders.hidden_states import LayerStack, attention_bias
from mer.encoders.loading import pretrained
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.weights import ResolvedWeights


class LayeredMoonshine(LayerStack):
    """`MoonshineEncoder`, layer by layer: 16 kHz waveform -> about 41.7 frames a second."""

    layers_name = "layers"
    linear_names = (
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.fc1", "mlp.fc2",
    )  # fmt: skip
    stride = 64 * 3 * 2
    minimum_samples = 895  # one frame of the third convolution: ((3 - 1) * 3 + 7 - 1) * 64 + 127

    def __init__(self, model: MoonshineEncoder, placement: Placement = ON_CPU) -> None:
        self.module = model
        self.placement = placement
        self.width = int(model.config.hidden_size)
        self.layer_count = int(model.config.encoder_num_hidden_layers)

    def front_end(self, waveform: Tensor) -> Tensor:
        """(time,) -> hidden state 0, (1, frames, width)."""
        model = self.module
        hidden = torch.tanh(model.conv1(waveform[None, None]))  # (1, width, time / 64)
        hidden = functional.gelu(model.conv2(model.groupnorm(hidden)))
        hidden = functional.gelu(model.conv3(hidden))  # (1, width, frames)
        states: Tensor = hidden.transpose(1, 2)
        return states

    def run_each(self, hidden: Tensor, mask: Tensor | None, layers: Iterable[int]) -> Iterator[Tensor]:
        """Raw outputs of these layers; positions count from the first frame of each row."""
        positions = torch.arange(hidden.shape[1], device=hidden.device)[None]
        rotary = self.module.rotary_emb(hidden, position_ids=positions)
        bias = attention_bias(mask, hidden.dtype)
        for layer in layers:
            hidden = self.module.layers[layer](
                hidden, attention_mask=bias, position_ids=positions, position_embeddings=rotary
            )
            yield hidden

    def final_norm(self, hidden: Tensor) -> Tensor:
        """The encoder's last layer norm."""
        normed: Tensor = self.module.layer_norm(hidden)
        return normed


def load_moonshine(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> LayeredMoonshine:
    """Load the encoder, in evaluation mode. Raises WeightsError where weights are missing or cannot be read."""
    return LayeredMoonshine(pretrained(MoonshineEncoder, resolved, placement), placement)
