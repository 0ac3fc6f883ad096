"""`mer search` of a recipe that serves a searched system: what the outer folds' training clips choose, and a narrower search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from prefect import task

from mer.search.machines import FoldChoice, choice_of_fold
from mer.systems.choice import SystemChoice
from tasks.data.dataset import load_view
from tasks.data.streams import level_tables
from tasks.stage.compute import computing
from tasks.stage.part_progress import told_as
from tasks.stage.references import StreamInputs, View
from tasks.stage.workspace import workspace


@dataclass(frozen=True)
class SearchedFold:
    """The search of one outer fold."""

    view: str
    waf: float
    """Weighted F1 on inner folds of the fold's training clips, each combined by weights that the others chose."""
    clips: int
    choice: FoldChoice


@task(name="search machines", task_run_name="search machines {view.name}", tags=["gpu"])
def search_machines_of(view: View, inputs: StreamInputs, choice: SystemChoice) -> SearchedFold:
    """Search on what a fold learns from; its test clips are never looked at."""
    from mer.systems.kinds import FitData, FitRun, fit_system

    space = workspace()
    examples, partition = load_view(space, view)
    keep = np.flatnonzero(partition.train | partition.validation)
    everyone = np.ones(len(keep), dtype=bool)
    with computing(space.settings):
        tables = level_tables(space, inputs, choice, [examples.clip_ids[row] for row in keep])
        data = FitData(tables, examples.subset(keep), everyone, ~everyone, view.dataset.emotions)
        system = fit_system(
            choice.kind, data, choice.options, FitRun(progress=told_as(f"search, {view.label}"))
        )
    return SearchedFold(
        view.name, float(system.figures["validation_waf"]), len(keep), choice_of_fold(system.history)
    )
