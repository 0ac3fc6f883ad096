"""A trained fusion model as a value: what it needs to predict, and its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mer.errors import UNREADABLE, WeightsError
from mer.fusion.config import FusionConfig
from mer.fusion.interface import FusionModel, FusionShape, build_fusion
from mer.fusion.streams import Standardisation
from mer.training.checkpoint import Checkpoint

WEIGHTS_FILE = "fusion.safetensors"
_MODEL, _MEAN, _SCALE = "model.", "mean.", "scale."
_POSTERIOR_WEIGHTS = "posterior_valence.weight"


@dataclass(frozen=True)
class FittedFusion:
    """A trained fusion model and all it needs to predict."""

    config: FusionConfig
    classes: tuple[str, ...]
    widths: Mapping[str, int]
    """Stream name -> features, in the model's stream order."""
    tensors: dict[str, Tensor]
    """Parameters of the best epoch."""
    standardisation: Mapping[str, Standardisation]
    predicts_valence: bool
    """Whether any training clip had a valence; otherwise predicted valence is NaN."""
    history: list[dict[str, float]]
    """Per epoch: losses and validation scores."""
    best_epoch: int
    """Epoch kept, counted from 1."""
    best_score: float
    """Weighted F1 of that epoch on the validation clips; NaN without validation clips."""

    def model(self) -> FusionModel:
        """The model with its trained parameters, ready to predict."""
        model = build_fusion(FusionShape(self.widths, len(self.classes)), self.config)
        model.load_state_dict(self.tensors)
        return model.eval()


def save_fusion(folder: Path, fitted: FittedFusion) -> None:
    """Write the fitted model into `folder` as one safetensors file (record in its header)."""
    tensors = {f"{_MODEL}{name}": value for name, value in fitted.tensors.items()}
    for name, statistics in fitted.standardisation.items():
        tensors[f"{_MEAN}{name}"], tensors[f"{_SCALE}{name}"] = statistics.mean, statistics.scale
    record = {
        "config": fitted.config.model_dump(mode="json"),
        "classes": list(fitted.classes),
        "widths": [[name, width] for name, width in fitted.widths.items()],  # a list: the order matters
        "predicts_valence": fitted.predicts_valence,
        "history": fitted.history,
        "best_epoch": fitted.best_epoch,
        "best_score": fitted.best_score,
    }
    Checkpoint(folder / WEIGHTS_FILE).save(tensors, record)


def load_fusion(folder: Path) -> FittedFusion:
    """Read back what `save_fusion` wrote.

    Raises:
        WeightsError: no such file, or its content is not what was written.
    """
    loaded = Checkpoint(folder / WEIGHTS_FILE).load()
    if loaded is None:
        raise WeightsError(f"{folder / WEIGHTS_FILE}: expected a fusion model, found none or a damaged file")
    try:
        return _fitted(*loaded)
    except UNREADABLE as error:
        raise WeightsError(
            f"{folder / WEIGHTS_FILE}: expected a fusion model, found the record of something else: {error!r}"
        ) from error


def _fitted(tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> FittedFusion:
    widths = {name: int(width) for name, width in record["widths"]}
    return FittedFusion(
        config=FusionConfig.model_validate(record["config"]),
        classes=tuple(record["classes"]),
        widths=widths,
        tensors=_identifiable(
            {name.removeprefix(_MODEL): value for name, value in tensors.items() if name.startswith(_MODEL)}
        ),
        standardisation={
            name: Standardisation(tensors[_MEAN + name], tensors[_SCALE + name]) for name in widths
        },
        predicts_valence=bool(record["predicts_valence"]),
        history=record["history"],
        best_epoch=int(record["best_epoch"]),
        best_score=float(record["best_score"]),
    )


def _identifiable(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of versions to 0.5, whose joint decoding had weights of the posteriors beside the class valences: their sum says
    the same, up to rounding.
    """
    weights = parameters.pop(_POSTERIOR_WEIGHTS, None)
    if weights is not None:
        parameters["class_valence"] = parameters["class_valence"] + weights[0]
    return parameters
