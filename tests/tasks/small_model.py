"""A registered model that answers in milliseconds, by feature files; clips without any are answered by what it expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import mer
from mer.fusion.fitted import save_fusion
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.recipes import Recipe
from tasks.stage.workspace import Workspace

CLASSES = ("angry", "happy")


def register_small(space: Workspace, folder: Path, name: str = "small") -> None:
    """Register a champion over the features `files:speech` of (3,) numbers."""
    generator = np.random.default_rng(0)
    speech = generator.normal(0, 1, (40, 3)) + np.arange(40)[:, None] % 2
    fusion = mer.Fusion(epochs=3, hidden=4).fit(
        {"acoustic": speech}, [CLASSES[row % 2] for row in range(40)], speakers=np.arange(40) // 4
    )
    stream = {"features": {"modality": "acoustic", "source": "files:speech"}}
    recipe = Recipe.model_validate({"name": name, "emotions": CLASSES, "acoustic": stream})
    ModelPackage(recipe=recipe, system="fused").write(folder)
    save_fusion(folder / FUSION_FOLDER, fusion.fitted_)
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    ref = space.artifacts.commit("model", "0" * 64, files, meta={})
    space.catalogue.add_model_version(name, ref, evaluation=ref, metrics={}, idempotency_key=name)
    space.catalogue.set_alias(name, "champion", 1, "the first")
