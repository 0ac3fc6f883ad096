"""Batches of streams as tests make them: vectors and frames, of clips of unequal length."""

from __future__ import annotations

import torch
from torch import Tensor

from mer.fusion.config import FusionConfig
from mer.fusion.interface import FusionModel, FusionShape, build_fusion
from mer.training.seeding import initialise

WIDTHS = {"acoustic": 7, "acoustic/adapted": 4, "visual": 5, "lexical": 3}
"""Two feature sets of one modality, one of each other."""
LENGTHS = {"acoustic": (9, 4, 1, 7, 2), "visual": (5, 5, 3, 2, 1), "lexical": (1, 6, 2, 2, 4)}
"""Frames of five clips; `acoustic/adapted` is a vector per clip."""
CLASSES = 4


def built(name: str, widths: dict[str, int] | None = None, **options: object) -> FusionModel:
    """An initialised model, in double precision and not training."""
    config = FusionConfig.model_validate({"model": name, "hidden": 8, **options})
    model = build_fusion(FusionShape(widths or WIDTHS, CLASSES), config)
    initialise(model, torch.Generator().manual_seed(1))
    if model.decodes_jointly:
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            model.class_valence.copy_(torch.randn(CLASSES, generator=generator))
    return model.eval().double()


def framewise() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Five clips: three streams of frames, padded with noise, and one vector."""
    generator = torch.Generator().manual_seed(0)
    inputs, present = {}, {}
    for name, width in WIDTHS.items():
        if name not in LENGTHS:
            inputs[name] = torch.randn(5, width, generator=generator).double()
            present[name] = torch.ones(5, dtype=torch.bool)
            continue
        lengths = torch.tensor(LENGTHS[name])
        inputs[name] = torch.randn(5, int(lengths.max()) + 2, width, generator=generator).double()
        present[name] = torch.arange(inputs[name].shape[1]) < lengths[:, None]
    return inputs, present


def utterances(clips: int = 5) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Some clips, every stream one vector."""
    generator = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(clips, width, generator=generator).double() for name, width in WIDTHS.items()}
    return inputs, {name: torch.ones(clips, dtype=torch.bool) for name in WIDTHS}
