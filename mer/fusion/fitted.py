"""A trained fusion, as values and as a folder: weights in safetensors, everything else in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mer.errors import WeightsError
from mer.features.dataset import FeatureTable
from mer.fusion.config import FusionConfig

TENSORS, RECORD = "fusion.safetensors", "fusion.json"
Moments = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class FittedFusion:
    """Result of a fit."""

    config: FusionConfig
    classes: tuple[str, ...]
    widths: Mapping[str, int]
    """Stream -> width of its vector, in the model's order."""
    tensors: Mapping[str, Tensor]
    """Weights of the best epoch."""
    standardisation: Mapping[str, Moments]
    """Stream -> (mean, deviation) of the training clips."""
    history: Sequence[Mapping[str, float]]
    best_epoch: int
    """Epoch (from 0) the weights are of."""
    best_score: float
    """WAF on the validation clips at that epoch; NaN without validation clips."""
    knows_valence: bool
    """Whether valence was trained."""


def standardised(table: FeatureTable, mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> Tensor:
    """(clips, width) standardised float32; missing clips are zeros."""
    flat = table.values.reshape(len(table.clip_ids), -1).astype(np.float32)
    return torch.from_numpy(
        np.where(table.present[:, None], (flat - mean) / deviation, np.float32(0)).astype(np.float32)
    )


def save_fusion(folder: Path, fitted: FittedFusion) -> None:
    """Write weights and record (last) into `folder`, created where absent."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model/{name}": value.contiguous() for name, value in fitted.tensors.items()}
    for name, (mean, deviation) in fitted.standardisation.items():
        tensors |= {f"mean/{name}": torch.from_numpy(mean), f"deviation/{name}": torch.from_numpy(deviation)}
    save_file(tensors, folder / TENSORS)
    record = {
        "config": fitted.config.model_dump(mode="json"),
        "classes": list(fitted.classes),
        "widths": [[name, width] for name, width in fitted.widths.items()],
        "history": [dict(entry) for entry in fitted.history],
        "best_epoch": fitted.best_epoch,
        "best_score": None if np.isnan(fitted.best_score) else fitted.best_score,
        "knows_valence": fitted.knows_valence,
    }
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")


def load_fusion(folder: Path) -> FittedFusion:
    """Read what `save_fusion` wrote.

    Raises:
        WeightsError: files absent or damaged.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"fusion {folder}: expected {RECORD} and {TENSORS}, found: {error}") from error
    widths = {name: int(width) for name, width in record["widths"]}
    return FittedFusion(
        config=FusionConfig.model_validate(record["config"]),
        classes=tuple(record["classes"]),
        widths=widths,
        tensors={name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")},
        standardisation={
            name: (tensors[f"mean/{name}"].numpy(), tensors[f"deviation/{name}"].numpy()) for name in widths
        },
        history=record["history"],
        best_epoch=record["best_epoch"],
        best_score=float("nan") if record["best_score"] is None else record["best_score"],
        knows_valence=record["knows_valence"],
    )
