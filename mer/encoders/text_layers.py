"""The layers of a text encoder, bidirectional or causal, entered and left anywhere: what adaptation trains.

The model's own code makes masks, positions and relative biases (`run_between`), so that every family that
transformers knows is covered, and Baichuan beside them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mer.encoders.frame_tokens import Tokens
from mer.encoders.layer_tap import layer_outputs, layers_name, layers_of, run_between
from mer.encoders.linear_maps import linear_map_names
from mer.encoders.placement import ON_CPU, Placement
from mer.errors import ConfigError

SHARED_LAYERS = ("albert",)
"""Families whose layers share their weights: no block of them can be adapted by itself."""


class TextLayers:
    """Hidden states of all tokens, special and prompt tokens included: (batch, tokens, width).

    Args:
        model: transformers model (or `BaichuanModel`) without a head.
        leading: tokens in front of a transcript's own (special and prompt tokens), the same for every text.
        trailing: tokens after them.
        closing: special tokens among the trailing ones.
        reads: which tokens a clip's vector is pooled from: the transcript's own (`class`), or the `last` one before
            closing special tokens, where a causal model is about to answer.
        label_rows: (classes, width) rows of the language-model head that a classifier may start from, see
            `mer.encoders.label_words`.
        placement: where the model is.

    Raises:
        ConfigError: layers that cannot be entered anywhere: shared ones (ALBERT), or convolutions between them.
    """

    def __init__(
        self,
        model: Any,
        leading: int,
        trailing: int,
        closing: int,
        *,
        reads: Tokens = "class",
        label_rows: Tensor | None = None,
        placement: Placement = ON_CPU,
    ) -> None:
        kind = str(model.config.model_type)
        if kind in SHARED_LAYERS or bool(getattr(model.config, "conv_kernel_size", None)):
            raise ConfigError(f"{kind}: expected a text encoder whose layers can be entered one by one")
        self.module = model
        self.placement = placement
        self.width = int(model.config.hidden_size)
        self.layer_count = int(model.config.num_hidden_layers)
        self.leading, self.trailing, self.closing = leading, trailing, closing
        self.reads, self.label_rows = reads, label_rows
        self._layers_name = layers_name(model)
        self._outputs: int | None = None

    def run_layers(self, hidden: Tensor, mask: Tensor, start: int, stop: int) -> list[Tensor]:
        """Run layers start..stop-1: hidden state `start` -> hidden states start+1..stop, in the given type.

        Args:
            hidden: (batch, tokens, width) hidden state `start`, right-padded.
            mask: bool (batch, tokens), True at real tokens; padding changes nothing at real tokens.
            start: hidden state given.
            stop: hidden state wanted; the last one has been through the model's final norm, where it has one.
        """
        if not 0 <= start < stop <= self.layer_count:
            raise ConfigError(
                f"expected layers 0 <= start < stop <= {self.layer_count}, found {start}, {stop}"
            )
        inputs = {
            "input_ids": torch.zeros(mask.shape, dtype=torch.long, device=mask.device),
            "attention_mask": mask.long(),
        }
        given = hidden.to(self.placement.dtype)
        states, out = run_between(
            lambda: self.module(**inputs), layers_of(self.module), given, start, stop, self._layer_outputs()
        )
        if out is not None:
            states[-1] = out if isinstance(out, Tensor) else out.last_hidden_state
        return [state.to(hidden.dtype) for state in states]

    def _layer_outputs(self) -> int:
        """Found out once, by one token through the first layer."""
        if self._outputs is None:
            token = torch.zeros(1, 1, dtype=torch.long, device=self.placement.device)
            with torch.inference_mode():
                self._outputs = layer_outputs(
                    lambda: self.module(input_ids=token, attention_mask=torch.ones_like(token)),
                    layers_of(self.module),
                )
        return self._outputs

    def counted(self, mask: Tensor) -> Tensor:
        """Tokens (batch, tokens) that a text's vector is pooled from, of the real ones in `mask`."""
        position = torch.arange(mask.shape[1], device=mask.device)[None]
        length = mask.sum(dim=1, keepdim=True)
        if self.reads == "last":
            return mask & (position == length - 1 - self.closing)
        return mask & (position >= self.leading) & (position < length - self.trailing)

    def layer_module_names(self, start: int, stop: int) -> tuple[str, ...]:
        """Full names within `module` of the linear maps (attention and MLP) of layers start..stop-1."""
        return linear_map_names(self.module, self._layers_name, start, stop)
