"""System A on one view: the layer study, PEFT on the chosen block, and the adapted features it gives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from prefect import task

from infra.artifacts import ArtifactRef
from mer.adaptation.block import Block
from mer.recipes import AcousticStream, Recipe
from tasks.compute import computing
from tasks.dataset import load_view
from tasks.features import commit_shard, cut, feature_table, frame_table, missing_clips
from tasks.references import DatasetRef, FeatureSetRef, PrefixTakes
from tasks.stage import Produced, StageResult, StageRun, digest, run_stage
from tasks.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.adaptation.finetune import AdaptedBlock
    from mer.features.clip_feature import ClipFeature

STUDY_CODE = ("mer.adaptation.layer_study", "mer.adaptation.layer_weighting", "mer.training")
ADAPT_CODE = ("mer.adaptation", "mer.encoders", "mer.training")


@task(name="layer study", task_run_name="layer study {view}", tags=["gpu"])
def study_layers_of_view(
    dataset: DatasetRef, recipe: Recipe, features: FeatureSetRef, view: str, parent_run: str | None
) -> StageResult:
    """Score every layer on the view's training clips and choose the block; meta: `start`, `stop`, `best_layer`."""
    stream = _acoustic(recipe)
    examples, partition = load_view(workspace(), dataset, recipe, view)

    def produce(run: StageRun) -> Produced:
        from mer.adaptation.layer_study import study_layers
        from mer.evaluation.figures import layer_curve

        clip_ids = [examples.clip_ids[i] for i in np.flatnonzero(partition.train)]
        table = feature_table(run.space, features, clip_ids)
        study = study_layers(
            table.values[table.present],
            examples.emotion[partition.train][table.present],
            [examples.speaker[i] for i in np.flatnonzero(partition.train)[table.present]],
            stream.layer_study,
        )
        figure = layer_curve(
            study.mean,
            study.low,
            study.high,
            (study.best_block.start, study.best_block.stop),
            score=stream.layer_study.score,
            weights=study.weights,
        )
        return Produced(
            files={"study.json": study.to_json().encode(), "layers.png": figure},
            meta={
                "start": study.best_block.start,
                "stop": study.best_block.stop,
                "best_layer": study.best_layer,
                "scores": ",".join(f"{score:.4f}" for score in study.mean),
            },
            metrics={
                **{f"layer_{layer}_score": float(score) for layer, score in enumerate(study.mean)},
                **{f"layer_{layer}_weight": float(share) for layer, share in enumerate(study.weights)},
            },
            figures={"layers.png": figure},
        )

    return run_stage(
        "layer-study",
        inputs={"view": partition.digest(examples, unlabelled=False), "features": features.key},
        config={"layer_study": stream.layer_study.model_dump(mode="json"), "classes": len(recipe.emotions)},
        code=STUDY_CODE,
        produce=produce,
        label=f"layer study {view}",
        parent_run=parent_run,
    )


@task(name="adapt", task_run_name="adapt {view}", tags=["gpu"])
def adapt_view(
    dataset: DatasetRef,
    recipe: Recipe,
    takes: PrefixTakes,
    block: Block,
    view: str,
    parent_run: str | None,
) -> StageResult:
    """PEFT of the block on the view's training speakers, from the cached frozen prefix and its augmented variants."""
    stream = _acoustic(recipe)
    config = stream.adaptation
    if config is None:
        raise ValueError(f"recipe {recipe.name} has no acoustic adaptation")
    examples, partition = load_view(workspace(), dataset, recipe, view)

    def produce(run: StageRun) -> Produced:
        from mer.adaptation.finetune import adapt, save_adapter
        from mer.encoders import load_acoustic, resolve_weights
        from mer.encoders.placement import place

        keep = partition.train | partition.validation
        clip_ids = [examples.clip_ids[i] for i in np.flatnonzero(keep)]
        weights = resolve_weights(stream.features.source, run.space.weights)
        adaptation = adapt(
            load_acoustic(weights, place()),  # the GPU where there is one: frames and batches stay on it
            block,
            frame_table(run.space, takes.plain, clip_ids),
            examples.emotion[keep],
            len(recipe.emotions),
            partition.train[keep],
            partition.validation[keep],
            config,
            checkpoint=run.checkpoint,
            variants=[frame_table(run.space, one, clip_ids) for one in takes.augmented],
        )
        folder = run.folder / "adapter"
        save_adapter(folder, adaptation, weights.identity, block, config)
        return Produced(
            files={path.name: path for path in sorted(folder.iterdir())},
            meta={"best_epoch": adaptation.best_epoch, "start": block.start, "stop": block.stop},
            metrics={"best_epoch": adaptation.best_epoch},
            history=adaptation.history,
        )

    return run_stage(
        "adapter",
        inputs={
            "view": partition.digest(examples, unlabelled=False),
            "prefix": takes.plain.key,
            **({"variants": [one.key for one in takes.augmented]} if takes.augmented else {}),
        },
        config={
            "adaptation": config.model_dump(mode="json"),
            "block": [block.start, block.stop],
            "classes": len(recipe.emotions),
        },
        code=ADAPT_CODE,
        produce=produce,
        label=f"adapt {view}",
        parent_run=parent_run,
    )


@task(name="embed acoustic", task_run_name="embed acoustic {view}", tags=["gpu"])
def embed_acoustic(
    recipe: Recipe, takes: PrefixTakes, adapter: ArtifactRef, view: str, clip_ids: Sequence[str]
) -> FeatureSetRef:
    """Adapted features of all clips that lack them, shard by shard; keyed by the adapter, so new clips cost only themselves."""
    space = workspace()
    further = {"speeds": [one.key for one in takes.speeds]} if takes.speeds else {}
    key = digest({"adapter": adapter.sha256, "prefix": takes.plain.key, **further})
    adapted = FeatureSetRef(stream="acoustic", key=key, spec=None)
    missing = missing_clips(space, adapted.key, clip_ids)
    if missing:
        with computing(
            space.settings
        ):  # building a block draws from the generators another view may be training with
            block = open_adapter(space, recipe, adapter)
        for shard in cut(missing, recipe.shard_clips):
            commit_shard(space, adapted.key, shard, partial(_embed, space, block, takes, shard))
    return adapted


def open_adapter(space: Workspace, recipe: Recipe, adapter: ArtifactRef) -> AdaptedBlock:
    """The adapted block, on the base it was trained on."""
    from mer.adaptation.finetune import load_adapter
    from mer.encoders import load_acoustic, resolve_weights
    from mer.encoders.placement import place

    weights = resolve_weights(_acoustic(recipe).features.source, space.weights)
    return load_adapter(space.artifacts.fetch(adapter), load_acoustic(weights, place()), weights.identity)


def _embed(
    space: Workspace, block: AdaptedBlock, takes: PrefixTakes, clip_ids: Sequence[str]
) -> list[ClipFeature]:
    from mer.adaptation.finetune import adapted_features
    from mer.features.dataset import table_rows
    from mer.predictor.streams import averaged

    read = (frame_table(space, one, clip_ids) for one in (takes.plain, *takes.speeds))
    return table_rows(averaged([adapted_features(block, frames) for frames in read]))


def _acoustic(recipe: Recipe) -> AcousticStream:
    if recipe.acoustic is None:
        raise ValueError(f"recipe {recipe.name} has no acoustic stream")
    return recipe.acoustic
