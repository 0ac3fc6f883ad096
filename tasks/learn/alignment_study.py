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
from tasks.data.dataset import load_partitions
from tasks.data.features import content_digest
from tasks.data.streams import alignable_table
from tasks.learn.alignment import (
    alignment_implementations,
    alignment_inputs,
    alignment_of,
    clip_groups,
    fit_device,
    open_alignment,
)
from tasks.stage.references import StreamPair, View
from tasks.stage.run import Produced, StageResult, StageRun, digest, run_stage
from tasks.stage.workspace import workspace

STUDY = "study.json"


@task(name="study alignment", task_run_name="study alignment {pair.trained.name} {view.name}", tags=["gpu"])
def study_alignment_of_view(view: View, pair: StreamPair, study: AlignmentStudyConfig) -> StageResult:
    """Retrieval, geometry, controls on shuffled pairs and linear probes on the view's test clips."""
    space = workspace()
    config = alignment_of(pair.trained)
    alignment_ref = pair.trained.learnt.alignment
    if alignment_ref is None:
        raise ValueError(f"stream {pair.trained.name}: no alignment of {view.name} to study")
    examples, partitions = load_partitions(space, view.dataset)
    partition = partitions[view.name]
    groups = clip_groups(space, view.dataset, config, examples)
    taken = np.flatnonzero(partition.unsupervised | partition.validation | partition.test)
    clip_ids = [examples.clip_ids[row] for row in taken]

    def produce(run: StageRun) -> Produced:
        from mer.alignment.pretrain import PairedClips, TrainedEncoder
        from mer.alignment.study import StudiedClips, study_view
        from mer.alignment.study_report import summarised

        trained = alignable_table(run.space, pair.trained, clip_ids)
        anchor = alignable_table(run.space, pair.anchor, clip_ids)
        both = trained.present & anchor.present
        rows = taken[both]
        encoder = pair.trained.stream.trained_encoder
        clips = StudiedClips(
            pairs=PairedClips(
                trained_values=trained.values[both],
                anchor_values=anchor.values[both],
                train=partition.unsupervised[rows],
                validation=partition.validation[rows],
                groups=groups.subset(rows),
            ),
            emotion=examples.emotion[rows],
            scored=partition.test[rows],
            encoder=TrainedEncoder(encoder, run.space.weights) if encoder else None,
            device=fit_device(trained.values),
        )
        outcome = study_view(view.name, clips, open_alignment(run.space, alignment_ref), study)
        figures = summarised([outcome], study)
        return Produced(
            files={STUDY: json.dumps(outcome.to_json()).encode()},
            meta={"scored": len(outcome.speaker)},
            metrics=figures,
        )

    return run_stage(
        "alignment-study",
        inputs={
            **alignment_inputs(space, pair, examples, partition, groups),
            "alignment": alignment_ref.sha256,
            "scored": digest(
                [
                    [examples.clip_ids[row], examples.speaker[row], int(examples.emotion[row])]
                    for row in np.flatnonzero(partition.test)
                ]
            ),
            "scored contents": [
                content_digest(pair.trained.features, clip_ids),
                content_digest(pair.anchor.features, clip_ids),
            ],
        },
        config={"study": study.model_dump(mode="json"), "alignment": config.model_dump(mode="json")},
        produce=produce,
        implementations=alignment_implementations(space, pair.trained),
        label=f"study alignment {pair.trained.name} {view.name}",
        parent_run=view.parent_run,
    )


def pooled_study(results: Sequence[StageResult], study: AlignmentStudyConfig) -> dict[str, float]:
    """Figures of all views' studies together; see `mer.alignment.study_report.summarised`."""
    from mer.alignment.study import ViewStudy
    from mer.alignment.study_report import summarised

    artifacts = workspace().artifacts
    views: list[dict[str, Any]] = [json.loads(artifacts.read(result.ref, STUDY)) for result in results]
    return summarised([ViewStudy(**values) for values in views], study)
