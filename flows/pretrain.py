"""Pre-training: layer study -> PEFT on the best block (of speech as in system A; of pictures and text as in system B)
-> alignment into another stream's space, per view and stream.

Every outer fold is a view of its own, and so is the model that is served: layers, adapters and alignment of a fold never see
that fold's labels. Layers below a block are computed once for all clips and cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flows.experiment import Experiment
from flows.features import extract, extract_streams
from flows.ingest import ingest_corpus
from flows.layers import study_layers
from flows.options import AdaptOptions, DemoOptions
from flows.pipeline_flow import pipeline_flow
from flows.progress import adaptation, alignment, begin_stage, ended_in_turn, was_found
from flows.reporting import show_adapters, show_retrieval
from mer.adaptation.block import Block
from mer.errors import ConfigError, CorpusError
from mer.features.spec import FeatureSpec
from mer.recipes import Recipe
from mer.recipes.layer_reading import has_states_to_choose
from mer.recipes.studies import studied_streams
from tasks.data.dataset import labelled_clip_ids
from tasks.learn.adaptation import adapt_view, embed_adapted
from tasks.learn.alignment import align_view, embed_aligned
from tasks.stage.references import FeatureSetRef, LearntStream, PrefixVariants

Learnt = dict[str, dict[str, LearntStream]]
"""Stream -> view -> what the view has learnt of it."""


@pipeline_flow("pretrain")
def pretrain(options: DemoOptions) -> Learnt:
    """Layer study, adaptation and alignment of every view of a corpus."""
    recipe = options.load_recipe()
    dataset, _ = ingest_corpus(recipe, options)
    return _plain(pretrain_views(extract_streams(Experiment(recipe, dataset))))


@pipeline_flow("adapt")
def adapt(options: AdaptOptions) -> Learnt:
    """Layer study (where no block is named) and adaptation of every view, of one stream or of all that the recipe adapts."""
    recipe = options.load_recipe()
    streams = _streams_to_adapt(recipe, options.stream)
    dataset, _ = ingest_corpus(recipe, options)
    experiment = extract_streams(Experiment(recipe, dataset))
    if absent := [stream for stream in streams if stream not in experiment.recipe.streams]:
        raise CorpusError(f"expected clips with {', '.join(absent)} to adapt to, found too few")
    for stream in streams:
        experiment = adapt_stream(study_if_needed(experiment, stream), stream)
    return _plain(experiment)


def _plain(experiment: Experiment) -> Learnt:
    return {stream: dict(views) for stream, views in experiment.learnt.items()}


def _streams_to_adapt(recipe: Recipe, stream: str) -> tuple[str, ...]:
    if not recipe.adapts or stream not in ("", *recipe.adapts):
        adapted = ", ".join(recipe.adapts) or "none"
        raise ConfigError(
            f"recipe {recipe.name}: expected a stream with `adaptation`, found {stream or 'none'} (adapted: {adapted})"
        )
    return (stream,) if stream else recipe.adapts


def pretrain_views(experiment: Experiment) -> Experiment:
    """The method, in passes over the views: layer study and adaptation of each stream, then the alignments."""
    for stream in experiment.recipe.streams:
        experiment = study_if_needed(experiment, stream)
    for stream in experiment.recipe.adapts:
        experiment = adapt_stream(experiment, stream)
    for stream in experiment.recipe.anchors:
        experiment = align_stream(experiment, stream)
    return experiment


def study_if_needed(experiment: Experiment, stream: str) -> Experiment:
    """Study the layers of a stream of which one hidden state is read, or whose block to adapt is not named."""
    options = experiment.recipe.stream(stream)
    if stream in studied_streams(experiment.recipe):
        return study_layers(experiment, stream)
    if options.features.layered and not has_states_to_choose(options):  # there is one state to read
        return experiment.with_learnt(
            stream, {view.name: LearntStream(read_layer=0) for view in experiment.views}
        )
    return experiment


def adapt_stream(experiment: Experiment, stream: str) -> Experiment:
    """Cache a stream's frozen prefix once per block start, adapt each view's block, and embed all clips."""
    begin_stage(adaptation(stream))
    options, shard_clips = experiment.recipe.stream(stream), experiment.recipe.shard_clips
    blocks: dict[str, Block] = {}
    for view in experiment.views:
        block = options.named_block or experiment.learnt_of(stream, view).block
        if block is None:
            raise ValueError(
                f"stream {stream}: no block to adapt in view {view.name}; study its layers first"
            )
        blocks[view.name] = block
    variants = extract_variants(experiment, stream, {view: block.start for view, block in blocks.items()})
    running = {
        view.name: adapt_view.submit(
            view, stream, options, variants[blocks[view.name].start], blocks[view.name]
        )
        for view in experiment.views
    }
    adapters = ended_in_turn(adaptation(stream), running, was_found)
    embedded = {
        view.name: embed_adapted.submit(
            view, stream, options, variants[blocks[view.name].start], adapters[view.name].ref, shard_clips
        )
        for view in experiment.views
    }
    show_adapters(adapters, stream)
    adapted = ended_in_turn(f"{stream} adapted", embedded)
    learnt = {
        view.name: replace(
            experiment.learnt_of(stream, view),
            block=blocks[view.name],
            adapter=adapters[view.name].ref,
            adapted=adapted[view.name],
        )
        for view in experiment.views
    }
    return experiment.with_learnt(stream, learnt)


def extract_variants(
    experiment: Experiment, stream: str, starts: Mapping[str, int]
) -> dict[int, PrefixVariants]:
    """The frozen prefix up to every hidden state that a view's block starts from, all out of one pass over each variant: all
    clips as they are and at the further speeds, and the augmented variants of the clips that these views learn from.

    Args:
        experiment: whose clips are read.
        stream: its options say which variants there are.
        starts: view -> first layer of its block.
    """
    prefixes, augmented = prefix_specs(experiment.recipe, stream, starts)
    extracted = extract(experiment, prefixes)
    if augmented:
        extracted |= extract(experiment, augmented, labelled_clip_ids(experiment.dataset, list(starts)))
    return {
        start: prefix_variants(experiment.recipe, stream, start, extracted) for start in set(starts.values())
    }


def prefix_specs(
    recipe: Recipe, stream: str, starts: Mapping[str, int]
) -> tuple[dict[str, FeatureSpec], dict[str, FeatureSpec]]:
    """What `extract_variants` extracts, by name: of all clips, and of the labelled ones."""
    options = recipe.stream(stream)
    speeds, variants = options.further_speeds, options.augmented_variants
    prefixes: dict[str, FeatureSpec] = {}
    augmented: dict[str, FeatureSpec] = {}
    for start in sorted(set(starts.values())):
        name, prefix = f"{stream} prefix {start}", options.features.prefix(start)
        prefixes |= {name: prefix} | {f"{name} at {speed:g}": prefix.at_speed(speed) for speed in speeds}
        augmented |= {
            f"{name} variant {augmentation.variant}": prefix.augmented(augmentation)
            for augmentation in variants
        }
    return prefixes, augmented


def prefix_variants(
    recipe: Recipe, stream: str, start: int, extracted: Mapping[str, FeatureSetRef]
) -> PrefixVariants:
    """Of the sets that were extracted, those of the hidden state that a block starts from."""
    options, name = recipe.stream(stream), f"{stream} prefix {start}"
    return PrefixVariants(
        plain=extracted[name],
        speeds=tuple(extracted[f"{name} at {speed:g}"] for speed in options.further_speeds),
        augmented=tuple(
            extracted[f"{name} variant {augmentation.variant}"] for augmentation in options.augmented_variants
        ),
    )


def align_stream(experiment: Experiment, stream: str) -> Experiment:
    """Pull each view's embedding of a stream toward its anchor's space, and embed all clips."""
    begin_stage(alignment(stream))
    shard_clips = experiment.recipe.shard_clips
    pairs = {view.name: experiment.pair(stream, view) for view in experiment.views}
    running = {
        view.name: align_view.submit(view, pairs[view.name], experiment.earlier_view(view))
        for view in experiment.views
    }
    alignments = ended_in_turn(alignment(stream), running, was_found)
    embedded = {
        view.name: embed_aligned.submit(
            view, pairs[view.name].trained, alignments[view.name].ref, shard_clips
        )
        for view in experiment.views
    }
    show_retrieval(alignments, stream, experiment.recipe.anchors[stream])
    aligned = ended_in_turn(f"{stream} aligned", embedded)
    learnt = {
        view.name: replace(
            experiment.learnt_of(stream, view),
            alignment=alignments[view.name].ref,
            aligned=aligned[view.name],
        )
        for view in experiment.views
    }
    return experiment.with_learnt(stream, learnt)
