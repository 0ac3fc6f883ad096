"""Fusion training on one view, and that model's posteriors on the clips the view may be scored on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from prefect import task

from infra.artifacts import ArtifactRef
from mer.fusion.registry import fusion_implementations
from mer.recipes import Recipe
from mer.selftraining.training_set import training_set
from tasks.data.dataset import load_view
from tasks.data.features import content_digest
from tasks.data.selections import load_selections
from tasks.data.streams import stream_identity, view_streams
from tasks.stage.references import DatasetRef, FeatureSetRef, FusedView, ViewSpaces
from tasks.stage.run import Produced, StageRun, digest, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.posteriors import Posteriors


@task(name="fuse", task_run_name="fuse {view} {system}", tags=["gpu"])
def fuse_view(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: ViewSpaces,
    view: str,
    system: str,
    only: Sequence[str] | None = None,
    pseudo: Sequence[ArtifactRef] = (),
    parent_run: str | None = None,
    start: ArtifactRef | None = None,
) -> FusedView:
    """Train the fusion of a view (all streams, or `only` some) and predict all clips that it did not learn gold labels of.

    Args:
        dataset: the snapshot.
        recipe: whose `fusion` is trained.
        features: by stream.
        spaces: the encoders this view has learnt.
        view: which view.
        system: name of what is trained.
        only: streams; none: all that the recipe's fusions read.
        pseudo: the view's own pseudo-labels to learn from as well, by generation, oldest first.
        parent_run: name of the tracked parent run.
        start: a fitted fusion of this view to go on from, where there are pseudo-labels; none: from scratch.
    """
    space = workspace()
    examples, partition = load_view(space, dataset, recipe, view)
    learnt = training_set(examples, partition, load_selections(space, pseudo, examples), recipe.pseudo_labels)
    taught = learnt.pseudo_digest
    start, fusion = (start, recipe.taught_fusion) if taught is not None else (None, recipe.fusion)
    streams = tuple(only or recipe.reads)
    inputs = {
        "view": partition.digest(examples, unlabelled=False),
        "streams": {name: stream_identity(recipe, name, features, spaces) for name in streams},
        "pseudo": taught,
        **({"start": start.sha256} if start is not None else {}),
        "contents": _contents(
            features,
            streams,
            [examples.clip_ids[i] for i in np.flatnonzero(learnt.train | partition.validation)],
        ),
    }
    config = {"fusion": fusion.model_dump(mode="json"), "emotions": list(recipe.emotions)}

    def train(run: StageRun) -> Produced:
        from mer.fusion.fit import fit_fusion
        from mer.fusion.fitted import load_fusion, save_fusion

        keep = np.flatnonzero(learnt.train | partition.validation)
        tables = view_streams(
            run.space, recipe, features, spaces, [examples.clip_ids[i] for i in keep], streams
        )
        fitted = fit_fusion(
            tables,
            learnt.examples.subset(keep),
            learnt.train[keep],
            partition.validation[keep],
            recipe.emotions,
            fusion,
            checkpoint=run.checkpoint,
            start=load_fusion(run.space.artifacts.fetch(start)) if start is not None else None,
        )
        folder = run.folder / "fusion"
        save_fusion(folder, fitted)
        return Produced(
            files={path.name: path for path in sorted(folder.iterdir())},
            meta={"validation_waf": float(fitted.best_score), "best_epoch": int(fitted.best_epoch)},
            metrics={"validation_waf": float(fitted.best_score), "best_epoch": float(fitted.best_epoch)},
            history=fitted.history,
        )

    trained = run_stage(
        "fusion",
        inputs=inputs,
        config=config,
        produce=train,
        implementations=fusion_implementations(fusion.model),
        label=f"fuse {view} {system}",
        parent_run=parent_run,
    )
    predicted_ids = [examples.clip_ids[i] for i in np.flatnonzero(partition.predicted)]
    posteriors = predict_with(space, recipe, features, spaces, trained.ref, predicted_ids, streams)
    return FusedView(
        view=view,
        system=system,
        model=trained.ref,
        posteriors=posteriors,
        validation_waf=float(trained.meta["validation_waf"]),
    )


def predict_with(
    space: Workspace,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: ViewSpaces,
    model: ArtifactRef,
    clip_ids: Sequence[str],
    streams: Sequence[str],
) -> ArtifactRef:
    """Posteriors of a fusion model on these clips, as an artifact."""

    def produce(run: StageRun) -> Produced:
        from mer.fusion.fit import predict_fusion
        from mer.fusion.fitted import load_fusion
        from mer.posteriors import Posteriors

        if (
            not clip_ids
        ):  # a corpus without holdout and unlabelled clips leaves the final view nothing to predict
            nothing = Posteriors((), np.zeros((0, len(recipe.emotions)), np.float32), np.zeros(0, np.float32))
            return Produced(files={"posteriors.parquet": nothing.to_parquet()}, meta={"clips": 0})
        fitted = load_fusion(run.space.artifacts.fetch(model))
        tables = view_streams(run.space, recipe, features, spaces, clip_ids, streams)
        return Produced(
            files={"posteriors.parquet": predict_fusion(fitted, tables).to_parquet()},
            meta={"clips": len(clip_ids)},
        )

    identities = {name: stream_identity(recipe, name, features, spaces) for name in streams}
    return run_stage(
        "posteriors",
        inputs={
            "model": model.sha256,
            "streams": identities,
            "clips": digest(sorted(clip_ids)),
            "contents": _contents(features, streams, clip_ids),
        },
        config={},
        produce=produce,
        implementations=fusion_implementations(recipe.fusion.model),
    ).ref


def load_posteriors(space: Workspace, ref: ArtifactRef) -> Posteriors:
    """Posteriors from their artifact."""
    from mer.posteriors import Posteriors

    return Posteriors.from_parquet(space.artifacts.read(ref, "posteriors.parquet"))


def _contents(
    features: Mapping[str, FeatureSetRef], streams: Sequence[str], clip_ids: Sequence[str]
) -> dict[str, str]:
    """What the clips' names do not say of the features: the media, files and transcripts that lie under them."""
    return {name: content_digest(features[name], sorted(clip_ids)) for name in streams}
