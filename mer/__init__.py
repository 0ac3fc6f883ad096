"""Multimodal emotion recognition: features, adaptation, alignment, fusion, self-training, evaluation.

    import mer

    fusion = mer.Fusion("attention").fit({"acoustic": x, "visual": y}, labels, speakers=speakers)
    fusion.predict_proba({"acoustic": new_x})

Names are loaded when they are first used: `import mer` alone loads neither torch nor NumPy. docs/library.md is a tour.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mer.conformal.policy import AnswerPolicy
    from mer.emotions import EMOTION_SETS
    from mer.errors import ConfigError, MerError
    from mer.fusion.interface import FusionModel
    from mer.library.client import Client
    from mer.library.clip_files import read_clips
    from mer.library.cross_validation import CrossValidation, cross_validate
    from mer.library.estimator import Fusion
    from mer.library.extracted import ClipFeatures
    from mer.library.extraction import extract
    from mer.library.layers import LayerScores, study_layers
    from mer.library.model import Model, load_model
    from mer.library.scoring import Scores, score
    from mer.recipes import Recipe, load_recipe

    __version__: str

_MODULES = {
    "AnswerPolicy": "mer.conformal.policy",
    "Client": "mer.library.client",
    "EMOTION_SETS": "mer.emotions",
    "ClipFeatures": "mer.library.extracted",
    "ConfigError": "mer.errors",
    "CrossValidation": "mer.library.cross_validation",
    "Fusion": "mer.library.estimator",
    "FusionModel": "mer.fusion.interface",
    "LayerScores": "mer.library.layers",
    "MerError": "mer.errors",
    "Model": "mer.library.model",
    "Recipe": "mer.recipes",
    "Scores": "mer.library.scoring",
    "cross_validate": "mer.library.cross_validation",
    "extract": "mer.library.extraction",
    "load_model": "mer.library.model",
    "load_recipe": "mer.recipes",
    "read_clips": "mer.library.clip_files",
    "score": "mer.library.scoring",
    "study_layers": "mer.library.layers",
}
"""Name -> module that defines it; none is the name of a module of this package, which would hide it once that is imported."""

__all__ = [
    "EMOTION_SETS", "AnswerPolicy", "Client", "ClipFeatures", "ConfigError", "CrossValidation", "Fusion",
    "FusionModel", "LayerScores", "MerError", "Model", "Recipe", "Scores", "__version__", "cross_validate", "extract",
    "load_model", "load_recipe", "read_clips", "score", "study_layers",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mer-pipeline")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # the next time without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
