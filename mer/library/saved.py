"""A fitted `Fusion` as a folder: `fusion.safetensors` of a network (`mer.fusion.fitted`), or the folder `system` of a system of
another kind, and `fusion.json` written last."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mer.errors import ConfigError, WeightsError
from mer.fusion.fitted import load_fusion, save_fusion
from mer.fusion.registry import given_builder
from mer.fusion.system import NeuralSystem
from mer.library.machines import MACHINES
from mer.library.options import model_of
from mer.systems.fitted import FittedSystem
from mer.systems.kinds import load_system
from mer.whole_files import write_folder, write_whole

RECORD = "fusion.json"
SYSTEM = "system"
"""Folder of a system that is no network."""


class SavedFusion(BaseModel):
    """What an estimator knows beside its fitted model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(default=1, ge=1, le=1, description="Version of this record.")
    classes: list[str] | list[int] = Field(min_length=2, description="Class names in index order.")
    framewise: dict[str, bool] = Field(
        description="Stream name -> whether it was given frame by frame; in order."
    )
    builder: bool = Field(default=False, description="Whether the model was given as a callable.")
    validation_share: float = Field(default=0.2, ge=0.0, le=0.5, description="Option of the estimator.")
    model: str = Field(default="", description="Name of the model; of a callable `module:name`.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of a model that is no network; a network's are in its weights.",
    )


def save_estimator(folder: Path, system: FittedSystem, record: SavedFusion) -> Path:
    """Write the system and the record; returns the folder.

    Raises:
        DiskFull, WriteFailed: they cannot be written; what was saved there before is unchanged.
    """
    network = isinstance(system, NeuralSystem)
    model = system.fitted.config.model if isinstance(system, NeuralSystem) else system.kind
    record = record.model_copy(update={"model": model})
    left_out = {"options"} if network else set()  # as earlier versions wrote and read it

    def fill(within: Path) -> None:
        if isinstance(system, NeuralSystem):
            save_fusion(within, system.fitted)
        else:
            system.save(within / SYSTEM)
        write_whole(within / RECORD, (record.model_dump_json(indent=1, exclude=left_out) + "\n").encode())

    write_folder(folder, fill, last=RECORD)
    return folder


def load_estimator(folder: Path, model: Callable[..., Any] | None) -> tuple[FittedSystem, SavedFusion]:
    """Read both.

    Args:
        folder: of `save_estimator`.
        model: the callable, where the model was given as one.

    Raises:
        WeightsError: absent or damaged files.
        ConfigError: `model` is missing, or not the one that was saved.
    """
    try:
        record = SavedFusion.model_validate_json((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = "a record that cannot be read" if isinstance(error, ValidationError) else "none"
        raise WeightsError(f"{folder / RECORD}: expected what Fusion.save wrote, found {reason}") from error
    if model is None and record.builder:
        raise ConfigError(
            f"{folder}: this fusion was made with the callable {record.model}, whose code is not saved; give it again: "
            "Fusion.load(folder, model=...)"
        )
    if model is not None and model_of(model)[0] != record.model:
        raise ConfigError(f"{folder}: expected the model {record.model}, found {model_of(model)[0]}")
    if record.model in MACHINES:
        system = load_system(folder / SYSTEM)
        if system.kind != record.model or system.classes != tuple(map(str, record.classes)):
            raise WeightsError(
                f"{folder}: expected the files of one fusion, found those of two; save it again"
            )
        return system, record
    known = given_builder(record.model, model) if model is not None else nullcontext()
    with known:
        fitted = load_fusion(folder)
    if fitted.classes != tuple(map(str, record.classes)) or fitted.config.model != record.model:
        raise WeightsError(f"{folder}: expected two files of one fusion, found files of two; save it again")
    return NeuralSystem(fitted), record
