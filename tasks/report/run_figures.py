"""What a run keeps for its report: figures of its stages in one small artifact, which lasts as long as the version.

The stages' own artifacts go when nobody uses them any more (`tasks.prune`). Values that a stage has written are copied as they
are; what only the run can still compute (paired differences of all systems, weights of streams, maps) is computed here.
"""

from __future__ import annotations

import json
from typing import Any

from prefect import task

from infra.artifacts import ArtifactRef
from mer.recipes.systems import choices_of
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import clip_ids_of
from tasks.data.streams import read_contents, tables_identity, vector_level
from tasks.learn.implementations import choice_implementations
from tasks.report.run_results import KIND, STAGES, RunResults, listed_stages, served_choice
from tasks.stage.run import Produced, StageResult, StageRun, run_stage
from tasks.stage.workspace import Workspace


@task(name="figures of the report")
def run_figures(results: RunResults) -> StageResult:
    """Gather the figures of a run; meta `evaluation` is the key of the evaluation that they belong to."""
    stages = listed_stages(results)
    final = results.inputs[FINAL_VIEW]
    level = vector_level(final)

    def produce(run: StageRun) -> Produced:
        from tasks.report.run_computed import computed_figures
        from tasks.report.run_copied import copied_figures

        made = copied_figures(run.space, stages) | computed_figures(run.space, results, level)
        made[STAGES] = [
            {"role": stage.role, "name": stage.name, "view": stage.view, **_address(stage.ref)}
            for stage in stages
        ]
        return Produced(
            files={name: json.dumps(value, indent=1).encode() for name, value in made.items()},
            meta={"evaluation": results.evaluation.key},
        )

    return run_stage(
        "figures",
        inputs={
            "evaluation": results.evaluation.sha256,
            "stages": [[stage.role, stage.name, stage.view, stage.ref.sha256] for stage in stages],
            "streams": {
                view: [tables_identity(item, (level, *_levels(results))) for item in inputs.values()]
                for view, inputs in results.inputs.items()
            },
            "contents": read_contents(final, clip_ids_of(results.view.dataset)),
        },
        config={"served": results.served, "emotions": list(results.view.dataset.emotions)},
        produce=produce,
        implementations=_implementations(results),
    )


def _implementations(results: RunResults) -> tuple[str, ...]:
    """Kinds of systems that the run fitted, which explain themselves."""
    chosen = [choice_implementations(choice) for choice in choices_of(results.recipe)]
    return tuple(sorted({one for names in chosen for one in names}))


def _levels(results: RunResults) -> tuple[Any, ...]:
    choice = served_choice(results.recipe)
    return () if choice is None else tuple(choice.sources.values())


def _address(ref: ArtifactRef) -> dict[str, str]:
    return {"kind": ref.kind, "key": ref.key, "sha256": ref.sha256}


def found_figures(space: Workspace, evaluation: ArtifactRef | None) -> ArtifactRef | None:
    """What a run kept for the version of this evaluation, the newest; None: nothing, or it is gone."""
    if evaluation is None:
        return None
    refs = [
        record.ref
        for record in space.catalogue.artifacts(KIND)
        if record.ref.meta.get("evaluation") == evaluation.key
    ]
    there = (space.artifacts.lookup(ref.kind, ref.key) for ref in reversed(refs))
    return next((ref for ref in there if ref is not None), None)
