"""Fusion training on one view, and that model's posteriors on the clips the view may be scored on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from prefect import task

from infra.artifacts import ArtifactRef
from mer.fusion.config import FusionConfig
from mer.fusion.registry import fusion_implementations
from mer.selftraining.training_set import training_set
from mer.systems.kinds import kind_implementations
from tasks.data.dataset import load_view
from tasks.data.features import content_digest
from tasks.data.selections import load_selections
from tasks.data.streams import stream_identity, view_streams
from tasks.stage.references import FusedView, FusionJob, StreamInputs, View
from tasks.stage.run import Produced, StageRun, digest, run_stage
from tasks.stage.workspace import Workspace, workspace

NEURAL = "neural"
"""Kind of the systems that a recipe's `fusion` is (see `mer.systems.kinds`)."""

if TYPE_CHECKING:
    from mer.posteriors import Posteriors


@task(name="fuse", task_run_name="fuse {view.name} {job.system}", tags=["gpu"])
def fuse_view(view: View, inputs: StreamInputs, job: FusionJob) -> FusedView:
    """Train a fusion on a view and predict all clips that it did not learn gold labels of.

    Args:
        view: which view.
        inputs: the streams that are fused.
        job: what is trained.
    """
    space = workspace()
    emotions = view.dataset.emotions
    examples, partition = load_view(space, view)
    learnt = training_set(
        examples, partition, load_selections(space, job.pseudo, examples), job.self_training
    )
    taught = learnt.pseudo_digest
    start, fusion = (job.start, job.taught or job.fusion) if taught is not None else (None, job.fusion)
    learnt_ids = [examples.clip_ids[i] for i in np.flatnonzero(learnt.train | partition.validation)]

    def train(run: StageRun) -> Produced:
        from mer.systems.kinds import FitData, FitRun, fit_system, load_system

        keep = np.flatnonzero(learnt.train | partition.validation)
        tables = view_streams(run.space, inputs, fusion.level, [examples.clip_ids[i] for i in keep])
        data = FitData(
            {fusion.level: tables},
            learnt.examples.subset(keep),
            learnt.train[keep],
            partition.validation[keep],
            tuple(emotions),
        )
        earlier = load_system(run.space.artifacts.fetch(start)) if start is not None else None
        system = fit_system(NEURAL, data, fusion, FitRun(run.checkpoint, start=earlier))
        folder = run.folder / "fusion"
        system.save(folder)
        figures = {name: float(value) for name, value in system.figures.items()}
        return Produced(
            files={path.name: path for path in sorted(folder.iterdir())},
            meta=figures,
            metrics=figures,
            history=[dict(step) for step in system.history],
        )

    trained = run_stage(
        "fusion",
        inputs={
            "view": partition.digest(examples, unlabelled=False),
            "streams": [
                stream_identity(item) for item in inputs.values()
            ],  # in the order in which they are fused
            "pseudo": taught,
            **({"start": start.sha256} if start is not None else {}),
            "contents": _contents(inputs, learnt_ids),
        },
        config={"fusion": fusion.model_dump(mode="json"), "emotions": list(emotions)},
        produce=train,
        implementations=(*kind_implementations(NEURAL), *fusion_implementations(fusion.model)),
        label=f"fuse {view.name} {job.system}",
        parent_run=view.parent_run,
    )
    predicted_ids = [examples.clip_ids[i] for i in np.flatnonzero(partition.predicted)]
    return FusedView(
        view=view.name,
        system=job.system,
        model=trained.ref,
        posteriors=predict_with(space, inputs, fusion, trained.ref, predicted_ids, len(emotions)),
        validation_waf=float(trained.meta["validation_waf"]),
        found=not trained.ran,
    )


def predict_with(
    space: Workspace,
    inputs: StreamInputs,
    fusion: FusionConfig,
    model: ArtifactRef,
    clip_ids: Sequence[str],
    classes: int,
) -> ArtifactRef:
    """Posteriors of a fusion model of these options on these clips, as an artifact."""

    def produce(run: StageRun) -> Produced:
        from mer.posteriors import Posteriors
        from mer.systems.kinds import load_system

        if (
            not clip_ids
        ):  # a corpus without holdout and unlabelled clips leaves the final view nothing to predict
            nothing = Posteriors((), np.zeros((0, classes), np.float32), np.zeros(0, np.float32))
            return Produced(files={"posteriors.parquet": nothing.to_parquet()}, meta={"clips": 0})
        system = load_system(run.space.artifacts.fetch(model))
        tables = view_streams(run.space, inputs, fusion.level, clip_ids)
        return Produced(
            files={"posteriors.parquet": system.posteriors({fusion.level: tables}).to_parquet()},
            meta={"clips": len(clip_ids)},
        )

    return run_stage(
        "posteriors",
        inputs={
            "model": model.sha256,
            "streams": [
                stream_identity(item) for item in inputs.values()
            ],  # in the order in which they are fused
            "clips": digest(sorted(clip_ids)),
            "contents": _contents(inputs, clip_ids),
        },
        config={},
        produce=produce,
        implementations=(*kind_implementations(NEURAL), *fusion_implementations(fusion.model)),
    ).ref


def load_posteriors(space: Workspace, ref: ArtifactRef) -> Posteriors:
    """Posteriors from their artifact."""
    from mer.posteriors import Posteriors

    return Posteriors.from_parquet(space.artifacts.read(ref, "posteriors.parquet"))


def _contents(inputs: StreamInputs, clip_ids: Sequence[str]) -> dict[str, str]:
    """What the clips' names do not say of the features: the media, files and transcripts that lie under them."""
    return {name: content_digest(item.features, sorted(clip_ids)) for name, item in inputs.items()}
