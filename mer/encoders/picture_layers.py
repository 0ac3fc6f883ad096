"""The layers of a vision transformer, entered and left anywhere: what adaptation trains.

A clip is a sequence of pictures and a picture a constant number of tokens, so a clip's hidden state is (pictures *
tokens, width), picture after picture; pictures do not see each other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mer.encoders.frame_tokens import Tokens
from mer.encoders.layer_tap import layers_name, layers_of, run_tapped
from mer.encoders.linear_maps import linear_map_names
from mer.encoders.placement import ON_CPU, Placement
from mer.errors import ConfigError

PLAIN_TYPES = ("clip_vision_model", "siglip_vision_model", "vit", "deit", "dinov2")
"""Towers whose layers need nothing but the hidden state (BEiT and data2vec-vision have relative positions)."""


class PictureLayers:
    """A vision encoder, layer by layer.

    Args:
        model: the encoder, with its embeddings, layers and final norm.
        leading: tokens before a picture's patches (class, distillation); 0 where there are none.
        tokens: tokens of a picture.
        reads: which of them a clip's vector is pooled from: the `class` token (patches where there is none), or the
            `patches`.
        placement: where the encoder is.

    Raises:
        ConfigError: an encoder whose layers need more than the hidden state, or other tokens to read.
    """

    def __init__(
        self,
        model: Any,
        leading: int,
        tokens: int,
        reads: Tokens = "class",
        placement: Placement = ON_CPU,
    ) -> None:
        kind = str(model.config.model_type)
        if kind not in PLAIN_TYPES:
            raise ConfigError(
                f"expected a vision encoder of type {', '.join(PLAIN_TYPES)} to adapt, found {kind!r}"
            )
        if reads not in ("class", "patches"):
            raise ConfigError(f"expected `class` or `patches` to read of an adapted picture, found {reads!r}")
        self.module = model
        self.placement = placement
        self.leading, self.tokens, self.reads = leading, tokens, reads
        self.width = int(model.config.hidden_size)
        self.layer_count = int(model.config.num_hidden_layers)
        self._layers_name = layers_name(model)

    def run_layers(self, hidden: Tensor, mask: Tensor, start: int, stop: int) -> list[Tensor]:
        """Run layers start..stop-1: hidden state `start` -> hidden states start+1..stop, in the given type.

        Args:
            hidden: (batch, pictures * tokens, width) hidden state `start`, whole pictures.
            mask: bool (batch, pictures * tokens), True at real pictures; the others are not run and become zeros.
            start: hidden state given.
            stop: hidden state wanted; the last one has been through the encoder's final norm, as its output is
                (states that `FeatureSpec` names are taken before it).

        Raises:
            ConfigError: no such layers, or part of a picture (clips must not be cut into pieces of so many frames).
        """
        if not 0 <= start < stop <= self.layer_count:
            raise ConfigError(
                f"expected layers 0 <= start < stop <= {self.layer_count}, found {start}, {stop}"
            )
        if hidden.shape[1] % self.tokens:
            raise ConfigError(
                f"expected whole pictures of {self.tokens} tokens, found {hidden.shape[1]} tokens; is "
                "`adaptation.max_frames` too small for the pictures of a clip?"
            )
        shape = (hidden.shape[0], -1, self.tokens, self.width)
        pictures = mask.view(shape[:3])[..., 0]  # (batch, pictures)
        real = hidden.reshape(shape)[pictures].to(self.placement.dtype)  # (real pictures, tokens, width)
        states = []
        for number, layer in enumerate(layers_of(self.module)[start:stop], start=start + 1):
            real = layer(real, attention_mask=None)
            shown = self._final_norm(real) if number == self.layer_count else real
            whole = hidden.new_zeros(*pictures.shape, self.tokens, self.width)
            whole[pictures] = shown.to(hidden.dtype)
            states.append(whole.view(hidden.shape))
        return states

    def counted(self, mask: Tensor) -> Tensor:
        """Tokens (batch, pictures * tokens) that a clip's vector is pooled from, of the real ones in `mask`."""
        position = torch.arange(mask.shape[1], device=mask.device) % self.tokens
        pooled = position == 0 if self.reads == "class" and self.leading else position >= self.leading
        return mask & pooled

    def layer_module_names(self, start: int, stop: int) -> tuple[str, ...]:
        """Full names within `module` of the linear maps (attention and MLP) of layers start..stop-1."""
        return linear_map_names(self.module, self._layers_name, start, stop)

    def _final_norm(self, hidden: Tensor) -> Tensor:
        name = "post_layernorm" if hasattr(self.module, "post_layernorm") else "layernorm"
        normed: Tensor = getattr(self.module, name)(hidden)
        return normed


def tokens_of(model: Any, pixels: Tensor) -> int:
    """Tokens that an encoder makes of a picture (1, 3, height, width)."""
    with torch.inference_mode():
        states, _ = run_tapped(lambda: model(pixel_values=pixels), layers_of(model), (0,), whole=False)
    return int(states[0].shape[1])
