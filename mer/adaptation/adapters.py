"""Adapters on one block of an encoder's layers.

Known (system A, 2): adapters only in the layers found most effective; a summary names bottleneck adapters,
down-projection -> ReLU -> up-projection. Reconstruction: `h + s * W_up ReLU(W_down h)` after each layer
with W_up zero at the start, so that an untrained adapter changes nothing; as alternatives LoRA, DoRA and (IA)3 from
`peft` (`injection`), and learned prompt frames (ours).

The encoder handed in is never changed: adapters sit in a copy that shares its weights.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.injection import inject
from mer.errors import ConfigError


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


class PromptFrames(nn.Module):
    """Learned frames before a clip's own in one layer, whose output there is dropped again.

    `peft` has prompt and prefix tuning only for whole models with an embedding or a key-value cache, and does not
    inject them into a block (`inject_adapter_in_model` refuses). Reconstruction: deep prompts (Jia et al. 2022): every
    layer of the block has frames of its own, from which it makes keys and values, as in prefix tuning (Li and Liang
    2021) but through the layer's own maps. Positions only shift, which relative and rotary ones do not see.
    """

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.frames = nn.Parameter(torch.empty(frames, width))
        nn.init.normal_(self.frames, std=0.02)

    def put_before(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, width) and its mask, longer by the learned frames."""
        learned = self.frames.to(hidden.dtype).expand(len(hidden), -1, -1)
        valid = mask.new_ones(len(mask), len(self.frames))
        return torch.cat([learned, hidden], dim=1), torch.cat([valid, mask], dim=1)

    def drop(self, hidden: Tensor) -> Tensor:
        """Without the first frames."""
        return hidden[:, len(self.frames) :]


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
        self.method = config.method
        self.checkpointing = config.gradient_checkpointing
        self.precision = config.precision
        self.adapters = nn.ModuleList(_build(frozen, block, config))
        if self.inside_layers:
            self._parameters_by_name = {
                name: parameter
                for name, parameter in frozen.module.named_parameters()
                if "lora_" in name or "ia3_" in name
            }
            for parameter in self._parameters_by_name.values():
                # peft makes them in the type of the weights: in bf16 small steps would be lost
                parameter.data = parameter.data.float()
        else:
            self._parameters_by_name = {f"adapters.{n}": p for n, p in self.adapters.named_parameters()}
        self.adapters.to(self.device)

    @property
    def inside_layers(self) -> bool:
        """The adapters are within the linear maps: layers run as they are."""
        return self.method not in ("bottleneck", "prompt")

    @property
    def encoder(self) -> BlockEncoder:
        """The frozen copy that the adapters sit in."""
        return self._frozen[0]

    @property
    def device(self) -> torch.device:
        """Where the frozen weights are."""
        return next(self.encoder.module.parameters()).device

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """The adapters' parameters by name; the frozen weights are not among them."""
        return dict(self._parameters_by_name)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Hidden state `start` -> adapted state `stop`, (batch, frames, width) float32; mask (batch, frames)."""
        with self._arithmetic():
            if self.inside_layers and not self._checkpoints:
                return self.encoder.run_layers(hidden, mask, self.block.start, self.block.stop)[-1].float()
            for number in range(self.block.length):
                if self._checkpoints:
                    hidden = checkpoint(self._layer, hidden, mask, number, use_reentrant=False)
                else:
                    hidden = self._layer(hidden, mask, number)
            return hidden.float()

    def frozen(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Hidden state `start` -> the frozen encoder's state `stop`.

        To be called before training: scales and low-rank updates are then the identity and stay in place.
        """
        with self._arithmetic():
            return self.encoder.run_layers(hidden, mask, self.block.start, self.block.stop)[-1].float()

    @property
    def _checkpoints(self) -> bool:
        return self.checkpointing and torch.is_grad_enabled()

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _layer(self, hidden: Tensor, mask: Tensor, number: int) -> Tensor:
        layer = self.block.start + number
        if self.inside_layers:
            return self.encoder.run_layers(hidden, mask, layer, layer + 1)[-1]
        adapter = self.adapters[number]
        if isinstance(adapter, PromptFrames):
            longer, valid = adapter.put_before(hidden, mask)
            return adapter.drop(self.encoder.run_layers(longer, valid, layer, layer + 1)[-1])
        adapted: Tensor = adapter(self.encoder.run_layers(hidden, mask, layer, layer + 1)[-1])
        return adapted


def _build(frozen: BlockEncoder, block: Block, config: AdaptationConfig) -> list[nn.Module]:
    """One adapter a layer, or the peft layers put into the frozen copy."""
    if config.method == "bottleneck":
        return [
            BottleneckAdapter(frozen.width, config.rank, config.bottleneck_scale, config.dropout)
            for _ in range(block.length)
        ]
    if config.method == "prompt":
        return [PromptFrames(frozen.width, config.prompt_frames) for _ in range(block.length)]
    return inject(frozen, block, config)


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
