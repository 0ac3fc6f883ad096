"""Feature extraction: every stream of a recipe, sharded over the workers; only clips without features are touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect import flow

from flows.ingest import ingest_corpus
from flows.options import DemoOptions
from flows.reporting import ShardProgress
from flows.runners import configured_task_runner
from mer.features.spec import FeatureSpec
from mer.recipes import Recipe, load_recipe
from tasks.dataset import clip_ids_of
from tasks.features import extract_shard, plan_features
from tasks.references import DatasetRef, FeatureSetRef, ViewSpaces
from tasks.streams import frame_features, frames_name


@flow(name="features", task_runner=configured_task_runner())
def features(options: DemoOptions) -> dict[str, FeatureSetRef]:
    """Extract the frozen features of every stream of the recipe."""
    recipe = load_recipe(options.recipe)
    dataset, _ = ingest_corpus(recipe, options)
    return extract_streams(dataset, recipe)


def extract_streams(dataset: DatasetRef, recipe: Recipe) -> dict[str, FeatureSetRef]:
    """All streams of the recipe over all clips of the snapshot."""
    clip_ids = clip_ids_of(dataset)
    return {
        stream: extract(dataset, recipe, stream, getattr(recipe, stream).features, clip_ids)
        for stream in recipe.streams
    }


def extract_frames(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
) -> dict[str, FeatureSetRef]:
    """The references, with the frames that the recipe's fusion or a member of its ensemble reads added; none: as they are."""
    fusions = (recipe.fusion, *recipe.member_fusions.values())
    wanted = {
        frames_name(stream, space): spec
        for fusion in fusions
        for stream in recipe.streams
        for space in spaces.values()
        if (spec := frame_features(recipe.model_copy(update={"fusion": fusion}), stream, space)) is not None
    }
    clip_ids = clip_ids_of(dataset)
    return dict(features) | {
        name: extract(dataset, recipe, name, spec, clip_ids) for name, spec in wanted.items()
    }


def extract(
    dataset: DatasetRef, recipe: Recipe, stream: str, spec: FeatureSpec, clip_ids: Sequence[str]
) -> FeatureSetRef:
    """One feature set: plan what is missing, extract it in shards, each committed by itself."""
    plan = plan_features(stream, spec, clip_ids, recipe.shard_clips)
    progress = ShardProgress(stream, len(plan.shards))
    shards = [extract_shard.submit(dataset.corpus, plan.features, shard) for shard in plan.shards]
    for shard in shards:
        progress.advance(shard.result())
    return plan.features
