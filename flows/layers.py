"""The layer study of any stream's encoder, on each view's training clips; the figure of every view goes to the tracker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from prefect.runtime import flow_run

from flows.experiment import Experiment
from flows.features import extract, settle_texts
from flows.ingest import ingest_corpus
from flows.options import LayerOptions
from flows.pipeline_flow import pipeline_flow
from flows.progress import begin_stage, ended_in_turn, layer_study, was_found
from flows.reporting import show_layers
from flows.workers.device_time import device_time_tracked
from mer.adaptation.block import Block
from mer.errors import ConfigError
from mer.recipes import Recipe
from mer.recipes.layer_reading import has_layers, states_to_study, with_study_pooling
from tasks.learn.layer_study import count_hidden_states, study_layers_of_view
from tasks.stage.references import FeatureSetRef, LearntStream
from tasks.stage.run import StageResult
from tasks.stage.tracking import close_tracked_studies, tracked

FRAMED_STATES_OF_A_SHARD = 256
"""Clips times hidden states that are extracted frame by frame as one shard: .2 GB of 200 frames of 1,024 features."""


@pipeline_flow("layers")
def layers(options: LayerOptions) -> dict[str, dict[str, LearntStream]]:
    """The layer study of one stream, or of every stream with an encoder, in every view, and nothing after it."""
    recipe = options.load_recipe()
    streams = _streams_to_study(recipe, options.stream)
    for stream in streams:
        recipe = with_study_pooling(recipe, stream, options.pooling)
        states_to_study(recipe, stream)  # a stream without layers is an error before anything is read
    parent_run = f"layers {flow_run.name or recipe.name}"
    with tracked(parent_run), device_time_tracked(parent_run):
        dataset, _ = ingest_corpus(recipe, options)
        experiment = settle_texts(Experiment(recipe, dataset, parent_run), streams)
        results = {stream: study_views(experiment, stream) for stream in streams}
        studies = [study for views in results.values() for study in views.values()]
        close_tracked_studies(experiment.served_view, experiment.recipe, studies)
    return {stream: learnt_by_study(experiment, stream, views) for stream, views in results.items()}


def _streams_to_study(recipe: Recipe, stream: str) -> tuple[str, ...]:
    if stream:
        recipe.stream(stream)
        return (stream,)
    if not (studied := tuple(name for name, options in recipe.streams.items() if has_layers(options))):
        raise ConfigError(
            f"recipe {recipe.name}: expected a stream with an encoder, whose layers can be studied, found none among "
            f"{', '.join(recipe.streams)}"
        )
    return studied


def study_layers(experiment: Experiment, stream: str) -> Experiment:
    """Score a stream's layers on each view's training clips; each view chooses the state it reads, and its block."""
    return experiment.with_learnt(
        stream, learnt_by_study(experiment, stream, study_views(experiment, stream))
    )


def study_views(experiment: Experiment, stream: str) -> dict[str, StageResult]:
    """The study of a stream in each view."""
    config = experiment.recipe.stream(stream).layer_study
    begin_stage(layer_study(stream))
    states = _states(experiment, stream)
    studies = {
        view.name: study_layers_of_view.submit(view, stream, config, states) for view in experiment.views
    }
    results = ended_in_turn(layer_study(stream), studies, was_found)
    show_layers(results, stream)
    return results


def _states(experiment: Experiment, stream: str) -> tuple[FeatureSetRef, ...]:
    """All hidden states, pooled; or for attention one set of frames for each, extracted in one pass."""
    recipe = experiment.recipe
    spec = states_to_study(recipe, stream)
    if stream in experiment.features and spec == recipe.stream(stream).features:
        return (experiment.features[stream],)
    if spec.pooling != "frames":
        return (extract(experiment, {f"{stream} layers": spec})[f"{stream} layers"],)
    studied = (
        spec.layers if isinstance(spec.layers, tuple) else range(count_hidden_states.submit(spec).result())
    )
    names = [f"{stream} frames of layer {state}" for state in studied]
    specs = {name: spec.prefix(state) for state, name in zip(studied, names, strict=True)}
    # a shard holds every state's frames in memory until it is written
    fitting = max(1, FRAMED_STATES_OF_A_SHARD // len(names))
    extracted = extract(experiment, specs, shard_clips=min(recipe.shard_clips, fitting))
    return tuple(extracted[name] for name in names)


def learnt_by_study(
    experiment: Experiment, stream: str, results: Mapping[str, StageResult]
) -> dict[str, LearntStream]:
    """What each view that was studied has learnt of a stream: the state that it reads, and the block to adapt."""
    layered = experiment.recipe.stream(stream).features.layered
    return {
        view: replace(
            experiment.learnt_of(stream, experiment.view(view)),
            read_layer=int(result.meta["best_layer"]) if layered else None,
            layer_count=str(result.meta["scores"]).count(","),
            block=Block(int(result.meta["start"]), int(result.meta["stop"])),
            study=result.ref,
        )
        for view, result in results.items()
    }
