"""Values that stages have written of themselves, copied beside each other: layer studies, alignments, histories of fits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infra.artifacts import ArtifactRef
from tasks.report.run_results import ALIGNMENT, CURVES, LAYERS, SEARCH, Stage
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.systems.fitted import FittedSystem

STUDY = "study.json"
CANDIDATE = "candidate"
"""What a history of candidates has that one of epochs has not."""
Rows = list[dict[str, float]]


def copied_figures(space: Workspace, stages: Sequence[Stage]) -> dict[str, Any]:
    """File -> its values: by stream or system, then by view."""
    layers: dict[str, dict[str, Any]] = {}
    aligned: dict[str, dict[str, Any]] = {}
    curves: dict[str, dict[str, Rows]] = {}
    searched: dict[str, dict[str, Rows]] = {}
    for stage in stages:
        if stage.role == "layer study":
            study = json.loads(space.artifacts.read(stage.ref, STUDY))
            layers.setdefault(stage.name, {})[stage.view] = study
        elif stage.role == "alignment":
            aligned.setdefault(stage.name, {})[stage.view] = dict(stage.ref.meta)
        if stage.role != "posteriors" and (rows := _history(space, stage)):
            target = searched if CANDIDATE in rows[0] else curves
            target.setdefault(f"{stage.role} {stage.name}", {})[stage.view] = rows
    return {LAYERS: layers, ALIGNMENT: aligned, CURVES: curves, SEARCH: searched}


def _history(space: Workspace, stage: Stage) -> Rows:
    """Figures of every step of a fit; nothing where it has none."""
    if stage.role == "fusion":
        system = fitted_system(space, stage.ref)
        return [] if system is None else [_finite(row) for row in system.history]
    for name in space.artifacts.manifest(stage.ref).files:
        if name.endswith(".json"):
            record = json.loads(space.artifacts.read(stage.ref, name))
            if isinstance(record, dict) and (rows := record.get("history")):
                return [_finite(row) for row in rows]
    return []


def fitted_system(space: Workspace, model: ArtifactRef) -> FittedSystem | None:
    """A fitted system; None of a combination, whose members are systems of their own."""
    from mer.systems.kinds import load_system

    if model.kind != "fusion":
        return None
    return load_system(space.artifacts.fetch(model))


def _finite(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a step that are numbers."""
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and abs(float(value)) < float("inf")
    }
