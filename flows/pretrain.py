"""Pre-training: layer study -> PEFT on the best block (of speech as in system A; of pictures and text as in system B)
-> alignment of vision into the acoustic space, per view.

Every outer fold is a view of its own, and so is the model that is served: layers, adapters and alignment of a fold never see
that fold's labels. Layers below a block are computed once for all clips and cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from prefect import flow

from flows.features import extract, extract_streams
from flows.ingest import ingest_corpus
from flows.layers import study_layers, study_views
from flows.options import AdaptOptions, DemoOptions
from flows.reporting import show_adapters, show_retrieval
from flows.runners import configured_task_runner
from infra.artifacts import ArtifactRef
from mer.adaptation.block import Block
from mer.errors import ConfigError
from mer.features.spec import FeatureSpec
from mer.recipes import Recipe, load_recipe
from tasks.data.dataset import clip_ids_of, labelled_clip_ids
from tasks.learn.adaptation import adapt_view, embed_adapted
from tasks.learn.alignment import align_view, embed_visual
from tasks.stage.references import AdaptedStream, DatasetRef, FeatureSetRef, PrefixVariants, ViewSpaces


@flow(name="pretrain", task_runner=configured_task_runner())
def pretrain(options: DemoOptions) -> dict[str, ViewSpaces]:
    """Layer study, adaptation and alignment of every view of a corpus."""
    recipe = load_recipe(options.recipe)
    dataset, _ = ingest_corpus(recipe, options)
    return pretrain_views(dataset, recipe, extract_streams(dataset, recipe), parent_run=None)


@flow(name="adapt", task_runner=configured_task_runner())
def adapt(options: AdaptOptions) -> dict[str, ViewSpaces]:
    """Layer study (where no block is named) and adaptation of every view, of one stream or of all that the recipe adapts."""
    recipe = load_recipe(options.recipe)
    streams = _streams_to_adapt(recipe, options.stream)
    dataset, _ = ingest_corpus(recipe, options)
    features = extract_streams(dataset, recipe)
    spaces = {view: ViewSpaces(view=view) for view in dataset.views}
    for stream in streams:
        if stream == "acoustic":
            spaces = study_layers(dataset, recipe, features, spaces, parent_run=None)
        spaces = adapt_stream(dataset, recipe, features, spaces, None, stream)
    return spaces


def _streams_to_adapt(recipe: Recipe, stream: str) -> tuple[str, ...]:
    if not recipe.adapts or stream not in ("", *recipe.adapts):
        adapted = ", ".join(recipe.adapts) or "none"
        raise ConfigError(
            f"recipe {recipe.name}: expected a stream with `adaptation`, found {stream or 'none'} (adapted: {adapted})"
        )
    return (stream,) if stream else recipe.adapts


def pretrain_views(
    dataset: DatasetRef, recipe: Recipe, features: Mapping[str, FeatureSetRef], parent_run: str | None
) -> dict[str, ViewSpaces]:
    """The method, in passes over the views: layer study, adaptation of each stream, alignment."""
    spaces = {view: ViewSpaces(view=view) for view in dataset.views}
    if recipe.acoustic is not None and recipe.acoustic.features.layered:
        spaces = study_layers(dataset, recipe, features, spaces, parent_run)
    for stream in recipe.adapts:
        spaces = adapt_stream(dataset, recipe, features, spaces, parent_run, stream)
    if recipe.acoustic is not None and recipe.visual is not None and recipe.visual.alignment is not None:
        spaces = align_vision(dataset, recipe, features, spaces, parent_run)
    return spaces


def adapt_stream(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    parent_run: str | None,
    stream: str,
) -> dict[str, ViewSpaces]:
    """Cache a stream's frozen prefix once per block start, adapt each view's block, and embed all clips."""
    clip_ids = clip_ids_of(dataset)
    blocks = _blocks(dataset, recipe, features, spaces, parent_run, stream)
    variants = extract_variants(
        dataset, recipe, {view: block.start for view, block in blocks.items()}, stream
    )
    running = {
        view: adapt_view.submit(dataset, recipe, variants[block.start], block, view, parent_run, stream)
        for view, block in blocks.items()
    }
    adapters = {view: adapter.result() for view, adapter in running.items()}
    embedded = {
        view: embed_adapted.submit(recipe, variants[blocks[view].start], adapter.ref, view, clip_ids, stream)
        for view, adapter in adapters.items()
    }
    show_adapters(adapters, stream)
    return {
        view: _with_adapted(space, stream, blocks[view], adapters[view].ref, embedded[view].result())
        for view, space in spaces.items()
    }


def _blocks(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    parent_run: str | None,
    stream: str,
) -> dict[str, Block]:
    """Each view's layers to adapt: named by the recipe, or chosen by the stream's layer study."""
    if stream == "acoustic":
        return {view: space.block for view, space in spaces.items() if space.block is not None}
    if (named := getattr(recipe, stream).named_block) is not None:
        return dict.fromkeys(spaces, named)
    studies = study_views(dataset, recipe, features, tuple(spaces), parent_run, stream)
    return {view: Block(int(study.meta["start"]), int(study.meta["stop"])) for view, study in studies.items()}


def _with_adapted(
    space: ViewSpaces, stream: str, block: Block, adapter: ArtifactRef, adapted: FeatureSetRef
) -> ViewSpaces:
    if stream == "acoustic":
        return replace(space, adapter=adapter, adapted=adapted)
    encoder = AdaptedStream(block=block, adapter=adapter, features=adapted)
    return replace(space, encoders={**space.encoders, stream: encoder})


def extract_variants(
    dataset: DatasetRef, recipe: Recipe, starts: Mapping[str, int], stream: str
) -> dict[int, PrefixVariants]:
    """The frozen prefix up to every hidden state that a view's block starts from, all out of one pass over each variant: all
    clips as they are and of speech at the further speeds, and the augmented variants of the clips that these views learn from.
    """
    features: FeatureSpec = getattr(recipe, stream).features
    speech = recipe.acoustic if stream == "acoustic" else None
    varied = speech.adaptation_variants if speech is not None else None
    speeds, variants = (
        speech.adapted_speeds if speech is not None else (),
        varied.variants() if varied is not None else (),
    )
    label = "prefix" if stream == "acoustic" else f"{stream} prefix"
    prefixes: dict[str, FeatureSpec] = {}
    augmented: dict[str, FeatureSpec] = {}
    for start in sorted(set(starts.values())):
        name, prefix = f"{label} {start}", features.prefix(start)
        prefixes |= {name: prefix} | {f"{name} at {speed:g}": prefix.at_speed(speed) for speed in speeds}
        augmented |= {
            f"{name} variant {augmentation.variant}": prefix.augmented(augmentation)
            for augmentation in variants
        }
    extracted = extract(dataset, recipe, prefixes)
    if augmented:
        extracted |= extract(dataset, recipe, augmented, labelled_clip_ids(dataset, recipe, list(starts)))
    return {
        start: PrefixVariants(
            plain=extracted[f"{label} {start}"],
            speeds=tuple(extracted[f"{label} {start} at {speed:g}"] for speed in speeds),
            augmented=tuple(
                extracted[f"{label} {start} variant {augmentation.variant}"] for augmentation in variants
            ),
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
    seen = {view: space.adapted_features("visual") or features["visual"] for view, space in spaces.items()}
    aligned = {
        view: align_view.submit(dataset, recipe, features["acoustic"], seen[view], space, view, parent_run)
        for view, space in spaces.items()
    }
    embedded = {
        view: embed_visual.submit(recipe, seen[view], alignment.result().ref, view, clip_ids)
        for view, alignment in aligned.items()
    }
    show_retrieval({view: alignment.result() for view, alignment in aligned.items()})
    return {
        view: replace(space, alignment=aligned[view].result().ref, aligned=embedded[view].result())
        for view, space in spaces.items()
    }
