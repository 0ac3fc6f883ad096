"""Feature extraction: every stream of a recipe, sharded over the workers; only clips without features are touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect import flow

from flows.ingest import ingest_corpus
from flows.options import DemoOptions
from flows.reporting import StepProgress, console
from flows.runners import configured_task_runner
from mer.features.spec import FeatureSpec
from mer.recipes import Recipe, load_recipe
from tasks.data.dataset import clip_ids_of
from tasks.data.features import extract_shard, plan_features
from tasks.data.kept_extractor import let_go
from tasks.data.missing import count_missing
from tasks.data.streams import frame_features, frames_name
from tasks.stage.references import DatasetRef, FeatureSetRef, ViewSpaces

MOST_NAMES = 3
"""Feature sets named in a line of progress."""


@flow(name="features", task_runner=configured_task_runner())
def features(options: DemoOptions) -> dict[str, FeatureSetRef]:
    """Extract the frozen features of every stream of the recipe."""
    recipe = load_recipe(options.recipe)
    dataset, _ = ingest_corpus(recipe, options)
    return extract_streams(dataset, recipe)


def extract_streams(dataset: DatasetRef, recipe: Recipe) -> dict[str, FeatureSetRef]:
    """All streams of the recipe over all clips of the snapshot."""
    return extract(dataset, recipe, {stream: getattr(recipe, stream).features for stream in recipe.streams})


def extract_frames(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
) -> dict[str, FeatureSetRef]:
    """The references, with the frames that the recipe's fusion or a member of its ensemble reads added; none: as they are."""
    fusions = (recipe.fusion, *recipe.member_fusions.values())
    frame_specs = {
        frames_name(variant, stream, space): spec
        for variant in (recipe.model_copy(update={"fusion": fusion}) for fusion in fusions)
        for stream in recipe.streams
        for space in spaces.values()
        if (spec := frame_features(variant, stream, space)) is not None
    }
    return dict(features) | (extract(dataset, recipe, frame_specs) if frame_specs else {})


def extract(
    dataset: DatasetRef,
    recipe: Recipe,
    specs: Mapping[str, FeatureSpec],
    clip_ids: Sequence[str] | None = None,
) -> dict[str, FeatureSetRef]:
    """Feature sets by name, of these clips (none: of all): plan what is missing, extract it in shards, each committed by
    itself.
    """
    requested = clip_ids_of(dataset) if clip_ids is None else clip_ids
    plan = plan_features(dataset.corpus, specs, requested, recipe.shard_clips)
    progress = StepProgress("features", len(plan.shards))
    shards = [(shard, extract_shard.submit(dataset.corpus, shard)) for shard in plan.shards]
    for shard, running in shards:
        names = " + ".join(feature.stream for feature in shard.features[:MOST_NAMES])
        names += f" and {more} more" if (more := len(shard.features) - MOST_NAMES) > 0 else ""
        progress.advance(f"{names} in {running.result().seconds:.1f} s")
    let_go()
    touched = {feature.stream for shard in plan.shards for feature in shard.features}
    for line in count_missing({name: plan.features[name] for name in touched}, requested) if touched else []:
        console.print(f"  {line}", markup=False)
    return dict(plan.features)
