"""Evaluation: out-of-fold scores of every system, calibration, and the fixed holdout. The only place that reads test labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import task

from mer.recipes import Recipe
from mer.training.partition import FINAL_VIEW
from tasks.dataset import load_partitions
from tasks.fusion import load_posteriors
from tasks.references import DatasetRef, FusedView
from tasks.stage import Produced, StageResult, StageRun, run_stage
from tasks.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.ensemble.posteriors import Posteriors
    from mer.training.examples import Examples
    from mer.training.partition import Partition

OUT_OF_FOLD, HOLDOUT = "out_of_fold.parquet", "holdout.parquet"
EVALUATION_CODE = ("mer.evaluation", "mer.ensemble")


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
        return Produced(
            files={
                "report.json": json.dumps(report.to_json(), indent=1).encode(),
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
        config={"served": served},
        code=EVALUATION_CODE,
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
    from mer.ensemble.posteriors import Posteriors

    return Posteriors.joined(
        [
            load_posteriors(space, item.posteriors).restricted(
                [examples.clip_ids[i] for i in np.flatnonzero(partitions[item.view].test)]
            )
            for item in views
            if item.view != FINAL_VIEW
        ]
    )
