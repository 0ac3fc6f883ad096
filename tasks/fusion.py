"""Fusion training on one view, and that model's posteriors on the clips the view may be scored on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from prefect import task

from infra.artifacts import ArtifactRef
from mer.recipes import Recipe
from tasks.dataset import load_view
from tasks.features import content_digest
from tasks.references import DatasetRef, FeatureSetRef, FusedView, ViewSpaces
from tasks.stage import Produced, StageRun, digest, run_stage
from tasks.streams import stream_identity, view_streams
from tasks.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.ensemble.posteriors import Posteriors
    from mer.training.examples import Examples
    from mer.training.partition import Partition

FUSION_CODE = (
    "mer.fusion",
    "mer.ensemble",
    "mer.training",
    "mer.predictor.streams",
    "mer.adaptation.padded_batches",
)


@task(name="fuse", task_run_name="fuse {view} {system}", tags=["gpu"])
def fuse_view(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: ViewSpaces,
    view: str,
    system: str,
    only: Sequence[str] | None = None,
    pseudo: ArtifactRef | None = None,
    parent_run: str | None = None,
) -> FusedView:
    """Train the fusion of a view (all streams, or `only` some; with pseudo-labels if given) and predict its other clips."""
    space = workspace()
    examples, partition = load_view(space, dataset, recipe, view)
    streams = tuple(only or recipe.reads)
    inputs = {
        "view": partition.digest(examples, unlabelled=False),
        "streams": {name: stream_identity(recipe, name, features, spaces) for name in streams},
        "pseudo": pseudo.sha256 if pseudo else None,
        "contents": _contents(
            features,
            streams,
            [examples.clip_ids[i] for i in np.flatnonzero(partition.train | partition.validation)],
        ),
    }
    config = {"fusion": recipe.fusion.model_dump(mode="json"), "emotions": list(recipe.emotions)}

    def train(run: StageRun) -> Produced:
        from mer.fusion.fit import fit_fusion, save_fusion

        learnt, train_mask = _with_pseudo_labels(run.space, examples, partition, pseudo)
        keep = np.flatnonzero(train_mask | partition.validation)
        tables = view_streams(
            run.space, recipe, features, spaces, [examples.clip_ids[i] for i in keep], streams
        )
        fitted = fit_fusion(
            tables,
            learnt.subset(keep),
            train_mask[keep],
            partition.validation[keep],
            recipe.emotions,
            recipe.fusion,
            checkpoint=run.checkpoint,
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
        code=FUSION_CODE,
        produce=train,
        label=f"fuse {view} {system}",
        parent_run=parent_run,
    )
    asked = [examples.clip_ids[i] for i in np.flatnonzero(partition.test | partition.unlabelled)]
    posteriors = predict_with(space, recipe, features, spaces, trained.ref, asked, streams)
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
        from mer.ensemble.posteriors import Posteriors
        from mer.fusion.fit import load_fusion, predict_fusion

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
        code=FUSION_CODE,
        produce=produce,
    ).ref


def load_posteriors(space: Workspace, ref: ArtifactRef) -> Posteriors:
    """Posteriors from their artifact."""
    from mer.ensemble.posteriors import Posteriors

    return Posteriors.from_parquet(space.artifacts.read(ref, "posteriors.parquet"))


def _contents(
    features: Mapping[str, FeatureSetRef], streams: Sequence[str], clip_ids: Sequence[str]
) -> dict[str, str]:
    """What clip ids do not say of the features: the transcripts of text streams."""
    found = {name: content_digest(features[name], sorted(clip_ids)) for name in streams}
    return {name: value for name, value in found.items() if value is not None}


def _with_pseudo_labels(
    space: Workspace, examples: Examples, partition: Partition, pseudo: ArtifactRef | None
) -> tuple[Examples, np.ndarray]:
    if pseudo is None:
        return examples, partition.train
    from mer.selftraining.selection import PseudoLabels

    chosen = PseudoLabels.from_parquet(space.artifacts.read(pseudo, "pseudo_labels.parquet"))
    position = {clip_id: i for i, clip_id in enumerate(examples.clip_ids)}
    at = np.array([position[clip_id] for clip_id in chosen.clip_ids], dtype=np.int64)
    if not partition.unlabelled[at].all():
        raise ValueError(
            "pseudo-labels name clips that are not unlabelled clips of this view (invariant I10)"
        )
    emotion, valence, weight = examples.emotion.copy(), examples.valence.copy(), examples.weight.copy()
    emotion[at], valence[at], weight[at] = chosen.emotion, chosen.valence, chosen.confidence
    train = partition.train.copy()
    train[at] = True
    return replace(examples, emotion=emotion, valence=valence, weight=weight), train
