"""The study of an alignment on the speakers its view never saw.

Reads test labels, as the evaluator does: for linear probes alone, by which nothing is chosen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from prefect import task

from mer.alignment.config import AlignmentStudyConfig
from mer.recipes import Recipe
from tasks.data.dataset import load_partitions
from tasks.data.features import content_digest, feature_table
from tasks.data.streams import acoustic_space
from tasks.learn.alignment import (
    alignment_implementations,
    alignment_inputs,
    clip_groups,
    fit_device,
    open_alignment,
)
from tasks.stage.references import DatasetRef, FeatureSetRef, ViewSpaces
from tasks.stage.run import Produced, StageResult, StageRun, digest, run_stage
from tasks.stage.workspace import workspace

STUDY = "study.json"


@task(name="study alignment", task_run_name="study alignment {view}", tags=["gpu"])
def study_alignment_of_view(
    dataset: DatasetRef,
    recipe: Recipe,
    acoustic: FeatureSetRef,
    visual: FeatureSetRef,
    spaces: ViewSpaces,
    view: str,
    study: AlignmentStudyConfig,
    parent_run: str | None,
) -> StageResult:
    """Retrieval, geometry, controls on shuffled pairs and linear probes on the view's test clips."""
    space = workspace()
    config = recipe.visual.alignment if recipe.visual else None
    if config is None or spaces.alignment is None:
        raise ValueError(f"recipe {recipe.name}: no alignment of {view} to study")
    alignment_ref = spaces.alignment
    examples, partitions = load_partitions(space, dataset, recipe)
    partition = partitions[view]
    groups = clip_groups(space, dataset, config, examples)
    taken = np.flatnonzero(partition.unsupervised | partition.validation | partition.test)
    clip_ids = [examples.clip_ids[row] for row in taken]

    def produce(run: StageRun) -> Produced:
        from mer.alignment.study import StudiedClips, study_view
        from mer.alignment.study_report import summarised

        seen = feature_table(run.space, visual, clip_ids)
        heard = acoustic_space(run.space, acoustic, spaces, clip_ids)
        both = seen.present & heard.present
        rows = taken[both]
        clips = StudiedClips(
            visual=seen.values[both],
            acoustic=heard.values[both],
            groups=groups.subset(rows),
            emotion=examples.emotion[rows],
            train=partition.unsupervised[rows],
            validation=partition.validation[rows],
            scored=partition.test[rows],
            source=recipe.visual.encoder if recipe.visual else None,
            weights=run.space.weights,
            device=fit_device(seen.values),
        )
        outcome = study_view(view, clips, open_alignment(run.space, alignment_ref), study)
        figures = summarised([outcome], study)
        return Produced(
            files={STUDY: json.dumps(outcome.to_json()).encode()},
            meta={"scored": len(outcome.speaker)},
            metrics=figures,
        )

    return run_stage(
        "alignment-study",
        inputs={
            **alignment_inputs(space, recipe, acoustic, visual, spaces, examples, partition, groups),
            "alignment": alignment_ref.sha256,
            "scored": digest(
                [
                    [examples.clip_ids[row], examples.speaker[row], int(examples.emotion[row])]
                    for row in np.flatnonzero(partition.test)
                ]
            ),
            "scored contents": [content_digest(visual, clip_ids), content_digest(acoustic, clip_ids)],
        },
        config={"study": study.model_dump(mode="json"), "alignment": config.model_dump(mode="json")},
        produce=produce,
        implementations=alignment_implementations(space, recipe),
        label=f"study alignment {view}",
        parent_run=parent_run,
    )


def pooled_study(results: Sequence[StageResult], study: AlignmentStudyConfig) -> dict[str, float]:
    """Figures of all views' studies together; see `mer.alignment.study_report.summarised`."""
    from mer.alignment.study import ViewStudy
    from mer.alignment.study_report import summarised

    artifacts = workspace().artifacts
    views: list[dict[str, Any]] = [json.loads(artifacts.read(result.ref, STUDY)) for result in results]
    return summarised([ViewStudy(**values) for values in views], study)
