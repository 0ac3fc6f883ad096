"""Where the training set of a served system lies; thresholds come from the clips (not the labels) that outer folds held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from prefect import task

from infra.artifacts import ArtifactRef
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import load_partitions
from tasks.data.features import content_digest
from tasks.data.streams import tables_identity, view_streams
from tasks.stage.references import DatasetRef, StreamInputs
from tasks.stage.run import Produced, StageRun, run_stage
from tasks.stage.workspace import workspace

if TYPE_CHECKING:
    from mer.stream_tables import Level

ViewInputs = Mapping[str, StreamInputs]
"""View -> the streams that are read, as the view has them."""


@task(name="domain")
def training_domain(
    dataset: DatasetRef, views: ViewInputs, level: Level, read: Sequence[Level] = ()
) -> ArtifactRef:
    """The domain of the served view's training set (`mer.domain`), as an artifact.

    What a view has learnt of a stream (an adapter, an alignment) brings its training clips closer together than others. So the
    thresholds come from the clips that every outer fold held out, in the space of that fold's view, whose training clips stand
    to them as those of the served view stand to new clips.

    Args:
        dataset: the snapshot.
        views: the served view, and the outer folds.
        level: of the tables that are measured.
        read: levels that the served system reads: of their tables is kept how the training speakers differ, by which a prediction
            enrols a new speaker (`mer.domain.speakers`).
    """
    examples, partitions = load_partitions(workspace(), dataset)
    used = {name: partitions[name] for name in views}
    taken = {
        name: one.train | one.validation | (one.test if name != FINAL_VIEW else np.zeros_like(one.test))
        for name, one in used.items()
    }
    clips = {name: [examples.clip_ids[row] for row in np.flatnonzero(mask)] for name, mask in taken.items()}

    def produce(run: StageRun) -> Produced:
        from mer.domain.fit import fit_tables, held_out_distances, inner_distances
        from mer.domain.speakers import fit_speakers
        from mer.domain.training_domain import TrainingDomain

        held_out = []
        for name, partition in used.items():
            if name == FINAL_VIEW:
                continue
            rows = np.flatnonzero(taken[name])
            tables = view_streams(run.space, views[name], level, clips[name])
            inside = (partition.train | partition.validation)[rows]
            held_out.append(held_out_distances(tables, inside, partition.test[rows]))
        rows = np.flatnonzero(taken[FINAL_VIEW])
        tables = view_streams(run.space, views[FINAL_VIEW], level, clips[FINAL_VIEW])
        everyone = np.ones(len(rows), dtype=bool)
        known = used[FINAL_VIEW].visible(examples).subset(rows)
        if not any(held_out):
            groups = [speaker or name for speaker, name in zip(known.speaker, known.clip_ids, strict=True)]
            held_out = inner_distances(tables, everyone, groups)
        counts = np.bincount(known.emotion[known.emotion >= 0], minlength=len(dataset.emotions))
        valences = known.valence[~np.isnan(known.valence)]
        domain = TrainingDomain(
            level,
            fit_tables(tables, everyone, held_out),
            tuple((counts / counts.sum()).tolist()) if counts.sum() else (),
            float(valences.mean()) if valences.size else None,
        )
        folder = run.folder / "domain"
        domain.save(folder)
        by_level = {one: view_streams(run.space, views[FINAL_VIEW], one, clips[FINAL_VIEW]) for one in read}
        fit_speakers(by_level, known.speaker).save(folder)
        return Produced(
            files={path.name: path for path in sorted(folder.iterdir())},
            meta={"tables": ", ".join(domain.tables), "clips": len(rows)},
        )

    return run_stage(
        "domain",
        inputs={
            "views": {name: one.digest(examples, unlabelled=False) for name, one in used.items()},
            "streams": {
                view: [tables_identity(item, (level, *read)) for item in inputs.values()]
                for view, inputs in views.items()
            },
            "contents": {
                view: {
                    name: content_digest(item.features, sorted(clips[view])) for name, item in inputs.items()
                }
                for view, inputs in views.items()
            },
        },
        config={"level": level, "read": list(read), "emotions": list(dataset.emotions)},
        produce=produce,
    ).ref
