"""Training of one system of any kind on one view, and its posteriors on the clips the view may be scored on."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan
from typing import TYPE_CHECKING

import numpy as np
from prefect import task

from infra.artifacts import ArtifactRef
from mer.selftraining.training_set import training_set
from mer.systems.choice import SystemChoice
from tasks.data.dataset import load_view
from tasks.data.selections import load_selections
from tasks.data.streams import level_tables, read_contents, read_identity
from tasks.learn.implementations import choice_implementations
from tasks.stage.compute import following
from tasks.stage.part_progress import told_as
from tasks.stage.references import FusedView, FusionJob, StreamInputs, View
from tasks.stage.run import Produced, StageRun, digest, run_stage
from tasks.stage.saved_files import files_below
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.posteriors import Posteriors


@task(name="fuse", task_run_name="fuse {view.label} {job.system}", tags=["gpu"])
def fuse_view(view: View, inputs: StreamInputs, job: FusionJob) -> FusedView:
    """Train a system on a view and predict all clips that it did not learn gold labels of.

    Args:
        view: which view.
        inputs: the streams that are read.
        job: what is trained.
    """
    space = workspace()
    emotions = view.dataset.emotions
    examples, partition = load_view(space, view)
    learnt = training_set(
        examples, partition, load_selections(space, job.pseudo, examples), job.self_training
    )
    taught = learnt.pseudo_digest
    start, choice = (job.start, job.taught or job.choice) if taught is not None else (None, job.choice)
    learning = learnt.train | partition.validation if job.whole else learnt.train
    choosing = partition.validation & ~learning
    learnt_ids = [examples.clip_ids[i] for i in np.flatnonzero(learning | choosing)]

    def train(run: StageRun) -> Produced:
        from mer.systems.kinds import FitData, FitRun, fit_system, load_system

        keep = np.flatnonzero(learning | choosing)
        data = FitData(
            level_tables(run.space, inputs, choice, [examples.clip_ids[i] for i in keep]),
            learnt.examples.subset(keep),
            learning[keep],
            choosing[keep],
            tuple(emotions),
        )
        earlier = load_system(run.space.artifacts.fetch(start)) if start is not None else None
        steps = FitRun(run.checkpoint, told_as(f"{job.system}, {view.label}"), start=earlier)
        system = fit_system(choice.kind, data, choice.options, steps)
        folder = run.folder / "fusion"
        system.save(folder)
        # a fit on all labelled clips may say nothing of some figure, and facts of artifacts have no NaN
        figures = {name: float(value) for name, value in system.figures.items() if isfinite(value)}
        return Produced(
            files=files_below(folder),
            meta=figures,
            metrics=figures,
            history=[dict(step) for step in system.history],
        )

    trained = run_stage(
        "fusion",
        inputs={
            "view": partition.digest(examples, unlabelled=False),
            "streams": read_identity(inputs, choice),
            "pseudo": taught,
            **({"start": start.sha256} if start is not None else {}),
            "contents": read_contents(inputs, learnt_ids),
        },
        config={
            "kind": choice.kind,
            "fusion": dict(choice.options),
            "emotions": list(emotions),
            **({"whole": True} if job.whole else {}),
        },
        produce=train,
        implementations=choice_implementations(choice),
        label=f"fuse {view.label} {job.system}",
        parent_run=view.parent_run,
    )
    # pseudo-labelled clips are predicted too: the next round votes on them
    predicted = partition.predicted & ~partition.validation if job.whole else partition.predicted
    predicted_ids = [examples.clip_ids[i] for i in np.flatnonzero(predicted)]
    with following():
        posteriors = predict_with(space, inputs, choice, trained.ref, predicted_ids, len(emotions))
    return FusedView(
        view=view.name,
        system=job.system,
        model=trained.ref,
        posteriors=posteriors,
        validation_waf=float(trained.meta.get("validation_waf", nan)),
        streams=tuple(inputs),
        part=view.part,
        found=not trained.ran,
    )


def predict_with(
    space: Workspace,
    inputs: StreamInputs,
    choice: SystemChoice,
    model: ArtifactRef,
    clip_ids: Sequence[str],
    classes: int,
) -> ArtifactRef:
    """Posteriors of a trained system of this choice on these clips, as an artifact."""

    def produce(run: StageRun) -> Produced:
        from mer.posteriors import Posteriors
        from mer.systems.kinds import load_system

        if (
            not clip_ids
        ):  # a corpus without holdout and unlabelled clips leaves the final view nothing to predict
            nothing = Posteriors((), np.zeros((0, classes), np.float32), np.zeros(0, np.float32))
            return Produced(files={"posteriors.parquet": nothing.to_parquet()}, meta={"clips": 0})
        system = load_system(run.space.artifacts.fetch(model))
        tables = level_tables(run.space, inputs, choice, clip_ids)
        return Produced(
            files={"posteriors.parquet": system.posteriors(tables).to_parquet()},
            meta={"clips": len(clip_ids)},
        )

    return run_stage(
        "posteriors",
        inputs={
            "model": model.sha256,
            "streams": read_identity(inputs, choice),
            "clips": digest(sorted(clip_ids)),
            "contents": read_contents(inputs, clip_ids),
        },
        config={},
        produce=produce,
        implementations=choice_implementations(choice),
    ).ref


def load_posteriors(space: Workspace, ref: ArtifactRef) -> Posteriors:
    """Posteriors from their artifact."""
    from mer.posteriors import Posteriors

    return Posteriors.from_parquet(space.artifacts.read(ref, "posteriors.parquet"))
