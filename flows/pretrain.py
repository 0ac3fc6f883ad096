"""Pre-training (system A): layer study -> PEFT on the best block -> alignment of vision into the acoustic space, per view.

Every outer fold is a view of its own, and so is the model that is served: layers, adapters and alignment of a fold never see
that fold's labels. Layers below a block are computed once for all clips and cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from prefect import flow

from flows.features import extract, extract_streams
from flows.ingest import ingest_corpus
from flows.layers import study_layers
from flows.options import DemoOptions
from flows.reporting import show_retrieval
from flows.runners import configured_task_runner
from mer.features.spec import FeatureSpec
from mer.recipes import Recipe, load_recipe
from tasks.adaptation import adapt_view, embed_acoustic
from tasks.alignment import align_view, embed_visual
from tasks.dataset import clip_ids_of, labelled_clip_ids
from tasks.references import DatasetRef, FeatureSetRef, PrefixTakes, ViewSpaces


@flow(name="pretrain", task_runner=configured_task_runner())
def pretrain(options: DemoOptions) -> dict[str, ViewSpaces]:
    """Layer study, adaptation and alignment of every view of a corpus."""
    recipe = load_recipe(options.recipe)
    dataset, _ = ingest_corpus(recipe, options)
    return pretrain_views(dataset, recipe, extract_streams(dataset, recipe), parent_run=None)


@flow(name="adapt", task_runner=configured_task_runner())
def adapt(options: DemoOptions) -> dict[str, ViewSpaces]:
    """Layer study and adaptation of every view."""
    recipe = load_recipe(options.recipe)
    dataset, _ = ingest_corpus(recipe, options)
    spaces = {view: ViewSpaces(view=view) for view in dataset.views}
    studied = study_layers(dataset, recipe, extract_streams(dataset, recipe), spaces, parent_run=None)
    return adapt_blocks(dataset, recipe, studied, parent_run=None)


def pretrain_views(
    dataset: DatasetRef, recipe: Recipe, features: Mapping[str, FeatureSetRef], parent_run: str | None
) -> dict[str, ViewSpaces]:
    """The method, in three passes over the views."""
    spaces = {view: ViewSpaces(view=view) for view in dataset.views}
    if recipe.acoustic is not None:
        if recipe.acoustic.features.layered:
            spaces = study_layers(dataset, recipe, features, spaces, parent_run)
        if recipe.acoustic.adaptation is not None:
            spaces = adapt_blocks(dataset, recipe, spaces, parent_run)
        if recipe.visual is not None and recipe.visual.alignment is not None:
            spaces = align_vision(dataset, recipe, features, spaces, parent_run)
    return spaces


def adapt_blocks(
    dataset: DatasetRef, recipe: Recipe, spaces: Mapping[str, ViewSpaces], parent_run: str | None
) -> dict[str, ViewSpaces]:
    """Cache the frozen prefix once per block start, adapt each view's block, and embed all clips."""
    clip_ids = clip_ids_of(dataset)
    blocks = {view: space.block for view, space in spaces.items() if space.block is not None}
    takes = extract_takes(dataset, recipe, {view: block.start for view, block in blocks.items()})
    adapters = {
        view: adapt_view.submit(dataset, recipe, takes[block.start], block, view, parent_run)
        for view, block in blocks.items()
    }
    embedded = {
        view: embed_acoustic.submit(recipe, takes[blocks[view].start], adapter.result().ref, view, clip_ids)
        for view, adapter in adapters.items()
    }
    return {
        view: replace(spaces[view], adapter=adapters[view].result().ref, adapted=embedded[view].result())
        for view in spaces
    }


def extract_takes(dataset: DatasetRef, recipe: Recipe, starts: Mapping[str, int]) -> dict[int, PrefixTakes]:
    """The frozen prefix up to every hidden state that a view's block starts from, all out of one pass over each take: all
    clips as they are and at the further speeds, and the augmented variants of the clips that these views learn from.
    """
    assert recipe.acoustic is not None
    features, varied = recipe.acoustic.features, recipe.acoustic.adaptation_variants
    speeds, variants = recipe.acoustic.adapted_speeds, varied.variants() if varied is not None else ()
    wanted: dict[str, FeatureSpec] = {}
    augmented: dict[str, FeatureSpec] = {}
    for start in sorted(set(starts.values())):
        name, prefix = f"prefix {start}", features.prefix(start)
        wanted |= {name: prefix} | {f"{name} at {speed:g}": prefix.at_speed(speed) for speed in speeds}
        augmented |= {f"{name} variant {one.variant}": prefix.augmented(one) for one in variants}
    found = extract(dataset, recipe, wanted)
    if augmented:
        found |= extract(dataset, recipe, augmented, labelled_clip_ids(dataset, recipe, list(starts)))
    return {
        start: PrefixTakes(
            plain=found[f"prefix {start}"],
            speeds=tuple(found[f"prefix {start} at {speed:g}"] for speed in speeds),
            augmented=tuple(found[f"prefix {start} variant {one.variant}"] for one in variants),
        )
        for start in set(starts.values())
    }


def align_vision(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    parent_run: str | None,
) -> dict[str, ViewSpaces]:
    """Pull each view's visual embedding toward its acoustic space, and embed all clips."""
    clip_ids = clip_ids_of(dataset)
    aligned = {
        view: align_view.submit(
            dataset, recipe, features["acoustic"], features["visual"], space, view, parent_run
        )
        for view, space in spaces.items()
    }
    embedded = {
        view: embed_visual.submit(recipe, features["visual"], alignment.result().ref, view, clip_ids)
        for view, alignment in aligned.items()
    }
    show_retrieval({view: alignment.result() for view, alignment in aligned.items()})
    return {
        view: replace(space, alignment=aligned[view].result().ref, aligned=embedded[view].result())
        for view, space in spaces.items()
    }
