"""Adapters of `peft` put into the linear maps of a block."""

from __future__ import annotations

from typing import Any

from torch import nn

from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.errors import ConfigError, WeightsError

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
        name: module for name, module in encoder.module.named_modules() if isinstance(module, BaseTunerLayer)
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
