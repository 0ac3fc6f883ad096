"""The layers of a vision transformer, entered and left anywhere: what adaptation trains.

A clip is a sequence of pictures and a picture a constant number of tokens, so hidden states have four axes,
(batch, pictures, tokens, width); pictures do not see each other.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mer.encoders.layer_tap import layers_of, layers_place
from mer.encoders.linear_maps import linear_map_names
from mer.encoders.placement import ON_CPU, Placement
from mer.errors import ConfigError

PLAIN_TYPES = ("clip_vision_model", "siglip_vision_model", "vit", "deit", "dinov2")
"""Towers whose layers need nothing but the hidden state (BEiT and data2vec-vision have relative positions)."""


class PictureLayers:
    """A vision tower, layer by layer.

    Args:
        model: the tower, with its embeddings, layers and final norm.
        leading: tokens before a picture's patches (class, distillation); 0 where there are none.
        placement: where the tower is.

    Raises:
        ConfigError: a tower whose layers need more than the hidden state.
    """

    def __init__(self, model: Any, leading: int, placement: Placement = ON_CPU) -> None:
        kind = str(model.config.model_type)
        if kind not in PLAIN_TYPES:
            raise ConfigError(
                f"expected a vision tower of type {', '.join(PLAIN_TYPES)} to adapt, found {kind!r}"
            )
        self.module = model
        self.placement = placement
        self.leading = leading
        self.width = int(model.config.hidden_size)
        self.layer_count = int(model.config.num_hidden_layers)
        self._place = layers_place(model)

    def run_layers(self, hidden: Tensor, mask: Tensor, start: int, stop: int) -> list[Tensor]:
        """Run layers start..stop-1: hidden state `start` -> hidden states start+1..stop, in the given type.

        Args:
            hidden: (batch, pictures, tokens, width) hidden state `start`.
            mask: bool (batch, pictures), True at real pictures; the others are not run and become zeros.
            start: hidden state given.
            stop: hidden state wanted; the last one has been through the tower's final norm, as its output is
                (states that `FeatureSpec` names are taken before it).
        """
        if not 0 <= start < stop <= self.layer_count:
            raise ConfigError(
                f"expected layers 0 <= start < stop <= {self.layer_count}, found {start}, {stop}"
            )
        real = hidden[mask].to(self.placement.dtype)  # (real pictures, tokens, width)
        states = []
        for number, layer in enumerate(layers_of(self.module)[start:stop], start=start + 1):
            real = layer(real, attention_mask=None)
            whole = hidden.new_zeros(hidden.shape)
            shown = self._final_norm(real) if number == self.layer_count else real
            whole[mask] = shown.to(hidden.dtype)
            states.append(whole)
        return states

    def layer_module_names(self, start: int, stop: int) -> tuple[str, ...]:
        """Full names within `module` of the linear maps (attention and MLP) of layers start..stop-1."""
        return linear_map_names(self.module, self._place, start, stop)

    def _final_norm(self, hidden: Tensor) -> Tensor:
        name = "post_layernorm" if hasattr(self.module, "post_layernorm") else "layernorm"
        normed: Tensor = getattr(self.module, name)(hidden)
        return normed
