"""HuBERT, wav2vec 2.0, data2vec-audio and WavLM as stacks of layers: one front end, two places for the layer
norms.

In the base-size variants the norm follows each layer, and the stack's norm sits before the first one; in the
large variants (`do_stable_layer_norm`) norms precede, and the stack's norm follows the last layer. WavLM's
first layer holds the relative position bias that all others share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from mer.encoders.families import model_type
from mer.encoders.hidden_states import LayerStack, attention_bias
from mer.encoders.loading import pretrained
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.weight_files import read_json
from mer.encoders.weights import ResolvedWeights

_CLASSES = {
    "hubert": "HubertModel",
    "wav2vec2": "Wav2Vec2Model",
    "wavlm": "WavLMModel",
    "data2vec-audio": "Data2VecAudioModel",
}
"""`model_type` -> class of transformers."""


class LayeredWav2Vec(LayerStack):
    """A model of the wav2vec 2.0 family, layer by layer.

    Args:
        model: HubertModel, Wav2Vec2Model, Data2VecAudioModel or WavLMModel; LayerDrop and SpecAugment are
            switched off.
        placement: where the model is.
        normalise: scale each waveform to mean 0 and variance 1 first (the checkpoint's `do_normalize`).
    """

    layers_name = "encoder.layers"
    linear_names = (
        "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj",
        "feed_forward.intermediate_dense", "feed_forward.output_dense",
    )  # fmt: skip

    def __init__(self, model: Any, *, normalise: bool, placement: Placement = ON_CPU) -> None:
        config = model.config
        config.layerdrop = 0.0
        config.apply_spec_augment = False
        self.module = model
        self.placement = placement
        self.normalise = normalise
        self.width = int(config.hidden_size)
        self.layer_count = int(config.num_hidden_layers)
        # data2vec-audio's flag is absent: its norm precedes the first layer, as in the base-size variants
        self.norm_follows = bool(getattr(config, "do_stable_layer_norm", False))
        self.relative = config.model_type == "wavlm"
        stride, receptive = 1, 1
        for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
            receptive += (kernel - 1) * stride
            stride *= step
        self.minimum_samples = receptive
        self.stride = stride

    def prepared(self, waveform: Tensor) -> Tensor:
        """Mean 0 and variance 1 over the whole waveform, where the checkpoint asks for it."""
        if not self.normalise:
            return waveform
        return (waveform - waveform.mean()) / torch.sqrt(waveform.var(correction=0) + 1e-7)

    def front_end(self, waveform: Tensor) -> Tensor:
        """(time,) -> hidden state 0, (1, frames, width): convolutions, projection and convolutional
        positions.
        """
        encoder = self.module.encoder
        features = self.module.feature_extractor(waveform[None]).transpose(1, 2)
        projected = self.module.feature_projection(features)
        hidden: Tensor = projected if isinstance(projected, Tensor) else projected[0]
        hidden = hidden + encoder.pos_conv_embed(hidden)
        return hidden if self.norm_follows else self._norm(hidden)

    def run_each(self, hidden: Tensor, mask: Tensor | None, layers: Iterable[int]) -> Iterator[Tensor]:
        """Raw outputs of these layers."""
        stack = self.module.encoder.layers
        if self.relative:
            position_bias = self._position_bias(hidden)
            for layer in layers:
                # WavLM takes the frame mask itself, as integers (`mask.ne(1)` is what it ignores)
                padding = None if mask is None else mask.long()
                hidden, _ = stack[layer](hidden, attention_mask=padding, position_bias=position_bias)
                yield hidden
            return
        bias = attention_bias(mask, hidden.dtype)
        for layer in layers:
            hidden = stack[layer](hidden, attention_mask=bias)
            yield hidden

    def final_norm(self, hidden: Tensor) -> Tensor:
        """The stack's norm, where it follows the last layer."""
        return self._norm(hidden) if self.norm_follows else hidden

    def _norm(self, hidden: Tensor) -> Tensor:
        normed: Tensor = self.module.encoder.layer_norm(hidden)
        return normed

    def _position_bias(self, hidden: Tensor) -> Tensor:
        """(batch * heads, frames, frames): the first layer's relative bias, as WavLM's own stack passes it
        on.
        """
        attention = self.module.encoder.layers[0].attention
        frames = hidden.shape[1]
        bias: Tensor = attention.compute_bias(frames, frames)
        return bias.repeat(hidden.shape[0], 1, 1)


def load_wav2vec(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> LayeredWav2Vec:
    """Load a model of the family, in evaluation mode. Raises WeightsError where weights are missing or cannot be read."""
    import transformers

    model = pretrained(getattr(transformers, _CLASSES[model_type(resolved)]), resolved, placement)
    return LayeredWav2Vec(model, normalise=_normalises(resolved), placement=placement)


def _normalises(resolved: ResolvedWeights) -> bool:
    # Wav2Vec2FeatureExtractor's own default where a checkpoint does not say
    assert resolved.folder is not None
    return bool(read_json(resolved.folder / "preprocessor_config.json").get("do_normalize", True))
