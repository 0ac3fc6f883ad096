"""Adapters of `peft` put into the linear maps of a block, and taken out again by merging them into the weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from mer.adaptation.adapters import AdaptedLayers

KEYS_AND_VALUES = ("k_proj", "v_proj", "key", "value")
"""Names of the maps to keys and values in transformers' attention modules."""


def inject(encoder: BlockEncoder, block: Block, config: AdaptationConfig) -> list[nn.Module]:
    """Put LoRA, DoRA or (IA)3 layers into the block's linear maps, in place; return the layers put in.

    Raises:
        ConfigError: the encoder has no maps that the method scales.
    """
    from peft import inject_adapter_in_model  # slow to import: only where used
    from peft.tuners.tuners_utils import BaseTunerLayer

    options, targets = _options(encoder, block, config)
    inject_adapter_in_model(options, encoder.module)
    injected = {
        name: part for name, part in encoder.module.named_modules() if isinstance(part, BaseTunerLayer)
    }
    if set(injected) != set(targets):
        raise WeightsError(f"expected adapters in {sorted(targets)}, found them in {sorted(injected)}")
    return [injected[name] for name in targets]


def _options(encoder: BlockEncoder, block: Block, config: AdaptationConfig) -> tuple[Any, list[str]]:
    from peft import IA3Config, LoraConfig

    maps = list(encoder.layer_module_names(block.start, block.stop))
    if config.method != "ia3":
        low_rank = LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            use_dora=config.method == "dora",
            target_modules=maps,
            bias="none",
        )
        return low_rank, maps
    # Liu et al. 2022: keys, values and the inner features of the MLP, which are the input of a layer's last map
    attention = [name for name in maps if name.rsplit(".", 1)[-1] in KEYS_AND_VALUES]
    last = [encoder.layer_module_names(layer, layer + 1)[-1] for layer in range(block.start, block.stop)]
    if len(attention) != 2 * block.length:
        raise ConfigError(
            f"method ia3: expected separate maps to keys and values in every layer, found {attention}; "
            "take lora, dora, bottleneck or prompt"
        )
    targets = [name for name in maps if name in attention or name in last]
    return IA3Config(target_modules=targets, feedforward_modules=last), targets


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
        name: part for name, part in layers.encoder.module.named_modules() if isinstance(part, BaseTunerLayer)
    }
    for layer in injected.values():  # what merging writes into is copied
        for parameter in layer.parameters():
            shared.pop(id(parameter), None)
    merged = copy.deepcopy(layers.encoder, shared)
    with torch.no_grad():
        for name in injected:
            part: Any = merged.module.get_submodule(name)
            part.merge(safe_merge=True)
            merged.module.set_submodule(name, part.get_base_layer())
    return merged
