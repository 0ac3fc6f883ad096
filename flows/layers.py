"""The layer study of any stream's encoder, on each view's training clips; the figure of every view goes to the tracker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from prefect import flow
from prefect.runtime import flow_run

from flows.features import extract
from flows.ingest import ingest_corpus
from flows.options import LayerOptions
from flows.reporting import show_layers
from flows.runners import configured_task_runner
from mer.adaptation.block import Block
from mer.recipes import Recipe, load_recipe
from mer.recipes.layer_reading import states_to_study, with_study_pooling
from tasks.learn.layer_study import count_hidden_states, study_layers_of_view
from tasks.stage.references import DatasetRef, FeatureSetRef, ViewSpaces
from tasks.stage.run import StageResult
from tasks.stage.tracking import close_tracked_studies, tracked

FRAMED_STATES_OF_A_SHARD = 256
"""Clips times hidden states that are extracted frame by frame as one shard: .2 GB of 200 frames of 1,024 features."""


@flow(name="layers", task_runner=configured_task_runner())
def layers(options: LayerOptions) -> dict[str, ViewSpaces]:
    """The layer study of one stream in every view, and nothing after it."""
    recipe = with_study_pooling(load_recipe(options.recipe), options.stream, options.pooling)
    states_to_study(recipe, options.stream)  # a stream without layers is an error before anything is read
    parent_run = f"layers {flow_run.name or recipe.name}"
    with tracked(parent_run):
        dataset, _ = ingest_corpus(recipe, options)
        spaces = {view: ViewSpaces(view=view) for view in dataset.views}
        results = study_views(dataset, recipe, {}, tuple(spaces), parent_run, options.stream)
        close_tracked_studies(parent_run, dataset, recipe, list(results.values()))
    return _learnt(spaces, results)


def study_layers(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    parent_run: str | None,
) -> dict[str, ViewSpaces]:
    """Score the speech encoder's layers on each view's training clips; each view chooses its own block."""
    return _learnt(spaces, study_views(dataset, recipe, features, tuple(spaces), parent_run, "acoustic"))


def study_views(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    views: tuple[str, ...],
    parent_run: str | None,
    stream: str,
) -> dict[str, StageResult]:
    """The study of a stream in each view; `features` are those extracted already."""
    states = _states(dataset, recipe, features, stream)
    studies = {
        view: study_layers_of_view.submit(dataset, recipe, states, view, parent_run, stream) for view in views
    }
    results = {view: study.result() for view, study in studies.items()}
    show_layers(results, stream)
    return results


def _states(
    dataset: DatasetRef, recipe: Recipe, features: Mapping[str, FeatureSetRef], stream: str
) -> tuple[FeatureSetRef, ...]:
    """All hidden states, pooled; or for attention one set of frames for each, extracted in one pass."""
    spec = states_to_study(recipe, stream)
    if stream in features and spec == getattr(recipe, stream).features:
        return (features[stream],)
    if spec.pooling != "frames":
        return (extract(dataset, recipe, {f"{stream} layers": spec})[f"{stream} layers"],)
    names = [f"{stream} frames of layer {state}" for state in range(count_hidden_states(spec))]
    specs = {name: spec.prefix(state) for state, name in enumerate(names)}
    # a shard holds every state's frames in memory until it is written
    fitting = max(1, FRAMED_STATES_OF_A_SHARD // len(names))
    smaller = recipe.model_copy(update={"shard_clips": min(recipe.shard_clips, fitting)})
    extracted = extract(dataset, smaller, specs)
    return tuple(extracted[name] for name in names)


def _learnt(spaces: Mapping[str, ViewSpaces], results: Mapping[str, StageResult]) -> dict[str, ViewSpaces]:
    return {
        view: replace(
            spaces[view],
            read_layer=int(result.meta["best_layer"]),
            layer_count=str(result.meta["scores"]).count(","),
            block=Block(int(result.meta["start"]), int(result.meta["stop"])),
        )
        for view, result in results.items()
    }
