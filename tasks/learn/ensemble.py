"""Combination of several fusions of a view on the level of their posteriors, fitted on the view's validation speakers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from prefect import task

from infra.artifacts import ArtifactRef
from mer.recipes.ensemble import EnsembleConfig
from mer.recipes.systems import ENSEMBLE
from mer.systems.choice import SystemChoice
from tasks.data.dataset import load_view
from tasks.learn.fusion import load_posteriors, predict_with
from tasks.stage.references import FusedView, StreamInputs, View
from tasks.stage.run import Produced, StageRun, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.ensemble.ensemble import Ensemble

FITTED = "ensemble.json"


@dataclass(frozen=True)
class Members:
    """The trained members of an ensemble on one view, and how they are combined."""

    config: EnsembleConfig
    choices: Mapping[str, SystemChoice]
    """Name -> kind and options of the member."""
    views: Mapping[str, FusedView]
    """Name -> the trained member."""


@task(name="combine", task_run_name="combine {view.name}")
def combine_view(view: View, inputs: StreamInputs, members: Members, system: str = ENSEMBLE) -> FusedView:
    """The ensemble's posteriors on the clips its members predicted; test labels are not visible here.

    The returned `validation_waf` is of the clips that temperatures and weights were fitted on: slightly flattering.
    """
    config, classes = members.config, len(view.dataset.emotions)
    space = workspace()
    examples, partition = load_view(space, view)
    rows = np.flatnonzero(partition.validation)
    clip_ids = [examples.clip_ids[i] for i in rows]
    held_out = {
        name: predict_with(space, inputs, members.choices[name], member.model, clip_ids, classes)
        for name, member in members.views.items()
    }

    def produce(run: StageRun) -> Produced:
        from mer.ensemble.pruning import weighted_f1
        from mer.ensemble.system import fit_combination
        from mer.systems.kinds import FitData

        known = {name: load_posteriors(run.space, ref).restricted(clip_ids) for name, ref in held_out.items()}
        truth = examples.emotion[rows]
        clips = FitData({}, examples, partition.train, partition.validation, view.dataset.emotions)
        ensemble = fit_combination(known, clips, config)
        predicted = {
            name: load_posteriors(run.space, member.posteriors) for name, member in members.views.items()
        }
        score = weighted_f1(ensemble.combine(known), truth) if (truth >= 0).any() else float("nan")
        return Produced(
            files={
                "posteriors.parquet": ensemble.combine(predicted).to_parquet(),
                FITTED: json.dumps(ensemble.to_json(), indent=1).encode(),
            },
            meta={"validation_waf": score},
            metrics={"validation_waf": score},
        )

    result = run_stage(
        "ensemble",
        inputs={
            "view": partition.digest(examples, unlabelled=False),
            "members": {name: member.posteriors.sha256 for name, member in members.views.items()},
            "held_out": {name: ref.sha256 for name, ref in held_out.items()},
        },
        config={"ensemble": config.model_dump(mode="json", exclude={"members", "serve", "search"})},
        produce=produce,
        label=f"combine {view.name} {system}",
        parent_run=view.parent_run,
    )
    return FusedView(
        view=view.name,
        system=system,
        model=result.ref,
        posteriors=result.ref,
        validation_waf=float(result.meta["validation_waf"]),
        members={name: member.model for name, member in members.views.items()},
        streams=tuple(inputs),
    )


def load_ensemble(space: Workspace, ref: ArtifactRef) -> Ensemble:
    """The fitted combination of a view's members, from its artifact."""
    from mer.ensemble.ensemble import Ensemble

    return Ensemble.from_json(json.loads(space.artifacts.read(ref, FITTED)))
