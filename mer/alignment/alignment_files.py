"""An alignment in files: weights as safetensors, everything else in a JSON record; files of earlier versions are read.

To 0.2.0 (format 1) the anchor was called acoustic and the trained side visual, in the names of tensors, shape and
figures; they are read under today's names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mer.alignment.aligned_model import Alignment, AlignmentShape
from mer.alignment.config import AlignmentConfig, named_as_today
from mer.alignment.trunk import resolved_encoder
from mer.errors import UNREADABLE, WeightsError
from mer.tensor_files import write_tensors
from mer.whole_files import write_whole

TENSORS = "alignment.safetensors"
RECORD = "alignment.json"
FORMAT = 2
_FORMATS = (1, 2)

_OLDER_PREFIXES = {"visual.": "trained_projector.", "acoustic.": "anchor_projector."}
"""Of tensors."""
_OLDER_SHAPE = {
    "visual": "trained_input",
    "visual_features": "trained_features",
    "acoustic_features": "anchor_features",
    "acoustic_components": "anchor_components",
    "acoustic_projector": "anchor_projector",
}
_OLDER_FIGURES = {
    "video_to_audio": "trained_to_anchor",
    "audio_to_video": "anchor_to_trained",
    "uniformity_seen": "uniformity_trained",
    "uniformity_heard": "uniformity_anchor",
}


def save_alignment(folder: Path, alignment: Alignment) -> None:
    """Write weights (safetensors) and record (JSON, written last) into `folder`, created where absent."""
    write_tensors(folder / TENSORS, alignment.tensors)
    record = {
        "format": FORMAT,
        "shape": asdict(alignment.shape),
        "config": alignment.config.model_dump(mode="json"),
        "retrieval": alignment.retrieval,
        "best_epoch": alignment.best_epoch,
        "history": alignment.history,
        "encoder": _encoder_identity(alignment.shape, alignment.weights),
        "sha256": hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest(),
    }
    write_whole(folder / RECORD, json.dumps(record, indent=1, sort_keys=True).encode())


def _encoder_identity(shape: AlignmentShape, weights: Path | None) -> str | None:
    """Identity of the encoder's weights; None for vectors."""
    return None if shape.source is None else resolved_encoder(shape.source, weights).identity


def load_alignment(folder: Path, weights: Path | None = None) -> Alignment:
    """Read what `save_alignment` wrote.

    Args:
        folder: of the alignment. weights: folder for checksums of a pre-trained encoder of crops.

    Raises:
        WeightsError: files are absent, damaged or of another format, or the encoder of crops that the source
        names now is not the one that was trained on.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["format"] not in _FORMATS:
            raise WeightsError(
                f"alignment {folder}: expected format {' or '.join(map(str, _FORMATS))}, found {record['format']}"
            )
        if hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest() != record["sha256"]:
            raise WeightsError(f"alignment {folder}: {TENSORS} is not what was saved (sha256 differs)")
        shape = AlignmentShape(**named_as_today(record["shape"], _OLDER_SHAPE))
        trained_on, current = record.get("encoder"), _encoder_identity(shape, weights)
        if trained_on not in (None, current):
            raise WeightsError(
                f"alignment {folder}: trained on {trained_on}, found {current} at {shape.source}"
            )
        return Alignment(
            tensors=_tensors_as_today(load_file(folder / TENSORS)),
            history=record["history"],
            retrieval=_figures_as_today(record["retrieval"]),
            shape=shape,
            config=AlignmentConfig.model_validate(record["config"]),
            best_epoch=int(record["best_epoch"]),
            weights=weights,
        )
    except (*UNREADABLE, SafetensorError) as error:
        raise WeightsError(f"alignment {folder}: cannot be read: {error}") from error


def _tensors_as_today(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {_prefixed_as_today(name): value for name, value in tensors.items()}


def _prefixed_as_today(name: str) -> str:
    for older, today in _OLDER_PREFIXES.items():
        if name.startswith(older):
            return today + name.removeprefix(older)
    return name


def _figures_as_today(figures: Mapping[str, float]) -> dict[str, float]:
    renamed: dict[str, float] = {}
    for name, value in figures.items():
        for older, today in _OLDER_FIGURES.items():
            name = name.replace(older, today)
        renamed[name] = value
    return renamed
