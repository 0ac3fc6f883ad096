"""Adapters multiplied into the weights they change."""

from __future__ import annotations

import copy
from typing import Any

import torch

from mer.adaptation.adapters import AdaptedLayers
from mer.adaptation.block import BlockEncoder
from mer.errors import ConfigError


def merged_encoder(layers: AdaptedLayers) -> BlockEncoder:
    """A copy of the frozen encoder with the adapters multiplied into its block's weights, and no adapter left.

    The copy shares all other weights; neither the original nor the adapted layers change. Merging is one fixed
    computation on the weights: equal adapters on equal weights give equal bits, whether they were just trained or
    loaded. Outputs differ from those with separate adapters by rounding.

    Raises:
        ConfigError: bottleneck adapters and prompt frames are no linear change of a map.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    if layers.method in ("bottleneck", "prompt"):
        raise ConfigError(
            f"method {layers.method}: expected lora, dora or ia3 to merge; keep the adapter beside the weights"
        )
    shared: dict[int, Any] = {id(p): p for p in layers.encoder.module.parameters()}
    shared |= {id(buffer): buffer for buffer in layers.encoder.module.buffers()}
    injected = {
        name: module
        for name, module in layers.encoder.module.named_modules()
        if isinstance(module, BaseTunerLayer)
    }
    for layer in injected.values():  # what merging writes into is copied
        for parameter in layer.parameters():
            shared.pop(id(parameter), None)
    merged = copy.deepcopy(layers.encoder, shared)
    with torch.no_grad():
        for name in injected:
            module: Any = merged.module.get_submodule(name)
            module.merge(safe_merge=True)
            merged.module.set_submodule(name, module.get_base_layer())
    return merged
