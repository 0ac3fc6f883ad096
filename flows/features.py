"""Feature extraction: every stream of a recipe, sharded over the workers; only clips without features are touched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from flows.experiment import Experiment
from flows.ingest import ingest_corpus
from flows.options import DemoOptions
from flows.pipeline_flow import pipeline_flow
from flows.progress import FEATURES, StepProgress, begin_stage, plan_stages, replan_stages
from flows.reporting import show_remarks, show_text_encoder
from flows.terminal import console
from mer.errors import CorpusError
from mer.features.spec import FeatureSpec
from mer.recipes.systems import choices_of
from mer.recipes.text_encoders import with_text_encoders
from mer.training.feasibility import LEAST_CLIPS
from tasks.data.dataset import clip_ids_of
from tasks.data.features import extract_shard, extract_span, plan_features
from tasks.data.kept_extractor import let_go
from tasks.data.missing import absent_streams, count_missing, require_feature_files
from tasks.data.spans import SMALL_CORPUS, extraction_spans
from tasks.data.streams import encoded_features, encoded_name, frame_features, frames_name, speed_features
from tasks.data.text_coverage import cover_texts, text_encoders
from tasks.stage.references import FeatureSetRef

MOST_NAMES = 3
"""Feature sets named in a line of progress."""


@pipeline_flow("features")
def features(options: DemoOptions) -> dict[str, FeatureSetRef]:
    """Extract the frozen features of every stream of the recipe."""
    recipe = options.load_recipe()
    plan_stages(recipe, FEATURES)
    dataset, _ = ingest_corpus(recipe, options)
    return dict(extract_streams(Experiment(recipe, dataset)).features)


def extract_streams(experiment: Experiment) -> Experiment:
    """All streams of the recipe over all clips of the snapshot, and out of the same decoding their further speeds, and of face
    crops what their encoder gives as it is.
    """
    begin_stage(FEATURES)
    experiment = settle_texts(experiment)
    streams = experiment.recipe.streams
    specs = {name: stream.features for name, stream in streams.items()}
    further = {
        key: spec for name, stream in streams.items() for key, spec in speed_features(name, stream).items()
    }
    encoded = {encoded_name(name): encoded_features(stream) for name, stream in streams.items()}
    further |= {name: spec for name, spec in encoded.items() if spec is not None}
    features = extract(experiment, specs | further)
    require_feature_files({name: features[name] for name in streams}, clip_ids_of(experiment.dataset))
    return _without_absent(experiment.with_features(features))


def _without_absent(experiment: Experiment) -> Experiment:
    """The same without the streams that hardly a clip has (pictures, in a corpus of sound): said, and the model is made without.

    Raises:
        CorpusError: no stream is left to learn from.
    """
    clip_ids = clip_ids_of(experiment.dataset)
    features = {name: experiment.features[name] for name in experiment.recipe.streams}
    absent = absent_streams(features, clip_ids)
    if not absent:
        return experiment
    recipe = experiment.recipe.without_streams(absent)
    counts = ", ".join(f"{name} {count}" for name, count in absent.items())
    if not recipe.reads:
        raise CorpusError(
            f"expected at least {LEAST_CLIPS} clips with a stream to learn from, found of {len(clip_ids)} clips: {counts}; add "
            "clips, or streams that these have"
        )
    if set(experiment.recipe.anchors) - set(recipe.anchors) - set(absent):
        recipe.require_vectors()  # crops that were aligned to a stream that is gone
    show_remarks(
        [
            f"stream {name} is left out of the model: {count or 'none'} of {len(clip_ids)} clips {'have' if count else 'has'} it"
            for name, count in absent.items()
        ]
    )
    replan_stages(recipe)
    return replace(experiment, recipe=recipe)


def settle_texts(experiment: Experiment, streams: Collection[str] | None = None) -> Experiment:
    """Say of every stream of texts how much of them its encoder knows, and settle which encoder reads them.

    Args:
        experiment: its recipe may name an encoder for other languages (`multilingual`).
        streams: those to settle; None: all.
    """
    dataset, recipe = experiment.dataset, experiment.recipe
    specs = {name: recipe.stream(name).features for name in streams or recipe.streams}
    covered = cover_texts(dataset.corpus, specs, clip_ids_of(dataset), experiment.parent_run)
    encoders = text_encoders(recipe, covered)
    for encoder in encoders.values():
        show_text_encoder(encoder)
    return replace(experiment, recipe=with_text_encoders(recipe, encoders))


def extract_frames(experiment: Experiment) -> Experiment:
    """The frames that a system of the recipe reads, where any of them reads frames."""
    recipe = experiment.recipe
    if all("frames" not in choice.levels for choice in choices_of(recipe)):
        return experiment
    specs = {
        frames_name(name, stream, learnt): spec
        for name, stream in recipe.streams.items()
        for view in experiment.views
        for learnt in (experiment.learnt_of(name, view),)
        if (spec := frame_features(stream, learnt)) is not None
    }
    return experiment.with_features(extract(experiment, specs))


def extract(
    experiment: Experiment,
    specs: Mapping[str, FeatureSpec],
    clip_ids: Sequence[str] | None = None,
    shard_clips: int | None = None,
) -> dict[str, FeatureSetRef]:
    """Feature sets by name: plan what is missing, extract it in shards, each committed by itself; in a large corpus several
    shards are a task run (`tasks.data.spans`).

    Args:
        experiment: whose corpus is read.
        specs: by name.
        clip_ids: clips; None: all of the snapshot.
        shard_clips: clips a shard; None: as the recipe says.
    """
    corpus = experiment.dataset.corpus
    requested = clip_ids_of(experiment.dataset) if clip_ids is None else clip_ids
    plan = plan_features(corpus, specs, requested, shard_clips or experiment.recipe.shard_clips)
    if not plan.shards:
        console.print(f"  [dim]features[/] found: of all {len(requested)} clips")
    progress = StepProgress("features", len(plan.shards))
    if len(requested) <= SMALL_CORPUS:
        shards = [(shard, extract_shard.submit(corpus, shard)) for shard in plan.shards]
        for shard, running in shards:
            progress.advance(f"{_names(shard.features)} in {progress.awaited(running).seconds:.1f} s")
    else:
        planned = extraction_spans(plan.shards, len(requested))
        spans = [(span, extract_span.submit(corpus, span)) for span in planned]
        for span, extracting in spans:
            seconds = sum(result.seconds for result in progress.awaited(extracting))
            progress.advance(f"{_names(span.features)} in {seconds:.1f} s", parts=len(span.shards))
    let_go()
    touched = {feature.stream for shard in plan.shards for feature in shard.features}
    for line in count_missing({name: plan.features[name] for name in touched}, requested) if touched else []:
        console.print(f"  {line}", markup=False)
    return dict(plan.features)


def _names(features: Sequence[FeatureSetRef]) -> str:
    names = " + ".join(feature.stream for feature in features[:MOST_NAMES])
    return names + (f" and {more} more" if (more := len(features) - MOST_NAMES) > 0 else "")
