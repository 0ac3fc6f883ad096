"""Evaluation: out-of-fold scores of every system, calibration, and the fixed holdout. The only place that reads test labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import task

from mer.recipes import Recipe
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import load_partitions
from tasks.learn.fusion import load_posteriors
from tasks.stage.references import DatasetRef, FusedView
from tasks.stage.run import Produced, StageResult, StageRun, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.examples import Examples
    from mer.posteriors import Posteriors
    from mer.training.partition import Partition

PSEUDO_MARK = "+pseudo"
"""End of the names of systems that learnt from pseudo-labels."""
OUT_OF_FOLD, HOLDOUT = "out_of_fold.parquet", "holdout.parquet"


@task(name="evaluate")
def evaluate(
    dataset: DatasetRef, recipe: Recipe, fused: Sequence[FusedView], served: str, parent_run: str | None
) -> StageResult:
    """Score all systems out of fold and on the holdout; calibrate the `served` one on its out-of-fold logits."""
    examples, partitions = load_partitions(workspace(), dataset, recipe)

    def produce(run: StageRun) -> Produced:
        from mer.evaluation.report import evaluate_systems

        out_of_fold = {
            system: _out_of_fold(
                run.space, [item for item in fused if item.system == system], examples, partitions
            )
            for system in dict.fromkeys(item.system for item in fused)
        }
        final = next(item for item in fused if item.view == FINAL_VIEW and item.system == served)
        holdout = load_posteriors(run.space, final.posteriors).restricted(
            [examples.clip_ids[i] for i in np.flatnonzero(partitions[FINAL_VIEW].test)]
        )
        report = evaluate_systems(examples, out_of_fold, holdout, recipe.emotions, served=served)
        shift = _label_shift(run.space, recipe, fused, out_of_fold, examples, partitions[FINAL_VIEW], served)
        return Produced(
            files={
                "report.json": json.dumps(report.to_json() | shift, indent=1).encode(),
                OUT_OF_FOLD: out_of_fold[served].to_parquet(),
                HOLDOUT: holdout.to_parquet(),
                **report.figures,
            },
            meta={"served": served, "temperature": report.temperature, **report.headline},
            metrics=report.headline,
            figures=report.figures,
        )

    return run_stage(
        "evaluation",
        inputs={
            "dataset": dataset.ref.sha256,
            "posteriors": sorted([item.system, item.view, item.posteriors.sha256] for item in fused),
        },
        config={"served": served, "label_shift": recipe.label_shift.model_dump(mode="json")},
        produce=produce,
        label="evaluate",
        parent_run=parent_run,
    )


def read_report(result: StageResult) -> dict[str, Any]:
    """The evaluation's report as JSON values."""
    values: dict[str, Any] = json.loads(workspace().artifacts.read(result.ref, "report.json"))
    return values


def _out_of_fold(
    space: Workspace, views: Sequence[FusedView], examples: Examples, partitions: Mapping[str, Partition]
) -> Posteriors:
    """One posterior per cross-validation clip, each from the view that did not train on it."""
    from mer.posteriors import Posteriors

    return Posteriors.joined(
        [
            load_posteriors(space, item.posteriors).restricted(
                [examples.clip_ids[i] for i in np.flatnonzero(partitions[item.view].test)]
            )
            for item in views
            if item.view != FINAL_VIEW
        ]
    )


def _label_shift(
    space: Workspace,
    recipe: Recipe,
    fused: Sequence[FusedView],
    out_of_fold: Mapping[str, Posteriors],
    examples: Examples,
    partition: Partition,
    served: str,
) -> dict[str, Any]:
    """Priors of the unlabelled clips and of the holdout, each with and without correction; empty where it is off.

    The supervised model judges: one that learnt from pseudo-labels has seen the unlabelled clips.
    """
    if recipe.label_shift.mode == "off":
        return {}
    from mer.evaluation.calibration import fit_temperature
    from mer.label_shift.clip_sets import CalibrationClips, TargetClips
    from mer.label_shift.scored import shift_summary

    system = served.removesuffix(PSEUDO_MARK)
    final = next(item for item in fused if item.view == FINAL_VIEW and item.system == system)
    posteriors = load_posteriors(space, final.posteriors)
    position = {clip_id: row for row, clip_id in enumerate(examples.clip_ids)}
    rows = np.array([position[clip_id] for clip_id in out_of_fold[system].clip_ids], dtype=np.int64)
    truth = examples.emotion[rows]
    temperature = fit_temperature(out_of_fold[system].logits, truth)
    calibration = CalibrationClips(
        out_of_fold[system].logits / temperature, tuple(examples.speaker[row] for row in rows), truth
    )
    summaries = {}
    for name, mask in (("unlabelled", partition.unlabelled), ("holdout", partition.test)):
        target_rows = np.flatnonzero(mask)
        target = TargetClips(
            posteriors.restricted([examples.clip_ids[row] for row in target_rows]).logits / temperature,
            tuple(examples.speaker[row] for row in target_rows),
        )
        known = examples.emotion[target_rows] if name == "holdout" else None
        summaries[name] = shift_summary(calibration, target, recipe.emotions, recipe.label_shift, known)
    return {"label_shift": summaries}
