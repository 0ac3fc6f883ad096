"""Adapters on one block of an encoder's layers.

Known (system A, 2): adapters only in the layers found most effective; a summary names bottleneck adapters,
down-projection -> ReLU -> up-projection. Reconstruction: `h + s * W_up ReLU(W_down h)` after each layer
with W_up zero at the start, so that an untrained adapter changes nothing; LoRA and DoRA (from `peft`) on
the attention and MLP matrices as alternatives.

The encoder handed in is never changed: adapters sit in a copy that shares its weights.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.errors import ConfigError, WeightsError


class BlockEncoder(Protocol):
    """What adaptation needs of an encoder: a `LayeredEncoder` of speech, `PictureLayers` or `TextLayers`.

    A frame is a frame of sound, a token of a picture, or a token of a text; where not all of them count in a clip's
    vector, the encoder has a method `counted` (see `mer.adaptation.counted_tokens`).
    """

    width: int
    layer_count: int
    module: nn.Module

    def run_layers(self, hidden: Tensor, mask: Tensor, start: int, stop: int) -> list[Tensor]:
        """Hidden state `start` (batch, frames, width) -> states start+1..stop; mask (batch, frames)."""
        ...

    def layer_module_names(self, start: int, stop: int) -> Sequence[str]:
        """Full names within `module` of the linear maps of layers start..stop-1."""
        ...


class BottleneckAdapter(nn.Module):
    """`h + s * W_up ReLU(W_down h)`, the identity before training (W_up starts at zero)."""

    def __init__(self, width: int, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank)
        self.up = nn.Linear(rank, width)
        self.dropout = nn.Dropout(dropout)
        self.scale = scale
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        update: Tensor = self.up(functional.relu(self.down(self.dropout(hidden))))
        return hidden + self.scale * update


class AdaptedLayers(nn.Module):
    """Layers start..stop-1 of an encoder with trainable adapters; all else is frozen, in evaluation mode.

    Only the adapters are submodules: `train()` switches their dropout and nothing of the frozen encoder,
    LayerDrop included.
    """

    def __init__(self, encoder: BlockEncoder, block: Block, config: AdaptationConfig) -> None:
        super().__init__()
        check_block(encoder, block)
        frozen = share_weights(encoder)
        # In a tuple, the frozen encoder is not a submodule.
        self._frozen = (frozen,)
        self.block = block
        if config.method == "bottleneck":
            self.adapters = nn.ModuleList(
                BottleneckAdapter(encoder.width, config.rank, config.bottleneck_scale, config.dropout)
                for _ in range(block.start, block.stop)
            )
            self._parameters_by_name = {f"adapters.{n}": p for n, p in self.adapters.named_parameters()}
            self._after_layers = True
        else:
            self.adapters = nn.ModuleList(inject_low_rank(frozen, block, config))
            self._parameters_by_name = {
                name: parameter for name, parameter in frozen.module.named_parameters() if "lora_" in name
            }
            for parameter in self._parameters_by_name.values():
                # peft makes them in the type of the weights: in bf16 small steps would be lost
                parameter.data = parameter.data.float()
            self._after_layers = False
        self.adapters.to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the frozen weights are."""
        return next(self._frozen[0].module.parameters()).device

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """The adapters' parameters by name; the frozen weights are not among them."""
        return dict(self._parameters_by_name)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Hidden state `start` -> adapted state `stop`, (batch, frames, width); mask (batch, frames)."""
        encoder = self._frozen[0]
        if not self._after_layers:
            return encoder.run_layers(hidden, mask, self.block.start, self.block.stop)[-1]
        for layer, adapter in zip(range(self.block.start, self.block.stop), self.adapters, strict=True):
            hidden = adapter(encoder.run_layers(hidden, mask, layer, layer + 1)[-1])
        return hidden


def check_block(encoder: BlockEncoder, block: Block) -> None:
    """Raise ConfigError unless the encoder has all layers of the block."""
    if block.stop > encoder.layer_count:
        raise ConfigError(
            f"expected a block within the encoder's {encoder.layer_count} layers, found {block}"
        )


def share_weights(encoder: BlockEncoder) -> BlockEncoder:
    """Copy of an encoder's structure on the same weights, frozen.

    Injecting into it leaves the original as it was.
    """
    memo: dict[int, object] = {}
    for parameter in encoder.module.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    for buffer in encoder.module.buffers():
        memo[id(buffer)] = buffer
    twin = copy.deepcopy(encoder, memo)
    twin.module.eval()
    return twin


def inject_low_rank(encoder: BlockEncoder, block: Block, config: AdaptationConfig) -> list[nn.Module]:
    """Put LoRA or DoRA layers into the block's linear maps, in place; return the layers put in."""
    from peft import LoraConfig, inject_adapter_in_model  # slow to import: only where used
    from peft.tuners.lora import LoraLayer

    targets = list(encoder.layer_module_names(block.start, block.stop))
    options = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        use_dora=config.method == "dora",
        target_modules=targets,
        bias="none",
    )
    inject_adapter_in_model(options, encoder.module)
    injected = {name: part for name, part in encoder.module.named_modules() if isinstance(part, LoraLayer)}
    if set(injected) != set(targets):
        raise WeightsError(f"expected adapters in {sorted(targets)}, found them in {sorted(injected)}")
    return [injected[name] for name in targets]
