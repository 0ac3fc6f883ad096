"""Linear layers in 8 bits on a processor: weights per output channel, inputs per tensor at run time.

Known method (dynamic quantisation as in PyTorch and onnxruntime); the kernels are torch's own (`quantized::linear_dynamic`).
Convolutions, norms, attention and softmax stay in fp32. On processors without bf16 matrix instructions this is the fast way:
about twice fp32 for a ViT-B/32, at a cosine of .999 to the fp32 features (benchmarks.extraction).
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from mer.errors import ConfigError

_LARGEST = 127.0
_READS_WEIGHTS = frozenset({"WavLMAttention"})
"""Modules of transformers that hand their layers' weights to another kernel instead of calling the layers."""


class Int8Linear(nn.Module):
    """`nn.Linear` with 8-bit weights; float32 in and out.

    Args:
        linear: the layer whose weights it takes over.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scales = weight.abs().amax(dim=1).clamp_min(1e-12) / _LARGEST
        with (
            warnings.catch_warnings()
        ):  # torch means to drop these tensors one day; the pinned release has them
            warnings.simplefilter("ignore", UserWarning)
            quantised = torch.quantize_per_channel(
                weight, scales.double(), torch.zeros(len(weight), dtype=torch.int64), 0, torch.qint8
            )
        bias = None if linear.bias is None else linear.bias.detach().float()
        self._packed: Any = torch.ops.quantized.linear_prepack(quantised, bias)

    def forward(self, values: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        # a reduced range keeps 16-bit sums from saturating on processors without VNNI instructions
        out: Tensor = torch.ops.quantized.linear_dynamic(values.contiguous(), self._packed, True)
        return out


def quantise_linear_layers(model: nn.Module, device: str) -> None:
    """Replace every `nn.Linear` inside `model` (only that very class) by its 8-bit form, in place.

    Raises:
        ConfigError: the device is no processor.
    """
    if device != "cpu":
        raise ConfigError(f"precision int8: expected a processor, found {device}; use bf16 there")
    for parent in [module for module in model.modules() if type(module).__name__ not in _READS_WEIGHTS]:
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, Int8Linear(child))
