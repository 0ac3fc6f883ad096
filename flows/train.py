"""Fusion training: attention over adapted acoustic, aligned visual and lexical streams; every system on every view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture

from flows.features import extract_frames, extract_streams
from flows.ingest import ingest_corpus
from flows.options import DemoOptions
from flows.pretrain import pretrain_views
from flows.reporting import StepProgress, show_systems
from flows.runners import configured_task_runner
from infra.artifacts import ArtifactRef
from mer.recipes import Recipe, load_recipe
from tasks.learn.ensemble import ENSEMBLE, combine_view
from tasks.learn.fusion import fuse_view
from tasks.serve.evaluation import PSEUDO_MARK, evaluate, read_report
from tasks.stage.references import DatasetRef, FeatureSetRef, FusedView, ViewSpaces

FUSED, PSEUDO = "fused", PSEUDO_MARK
PseudoByView = Mapping[str, Sequence[ArtifactRef]]
"""View -> its own selections of pseudo-labels, by generation."""


@flow(name="train", task_runner=configured_task_runner())
def train(options: DemoOptions) -> dict[str, Any]:
    """Train and score the fusion and every single stream, supervised only; returns the evaluation's report."""
    recipe = load_recipe(options.recipe)
    dataset, _ = ingest_corpus(recipe, options)
    features = extract_streams(dataset, recipe)
    spaces = pretrain_views(dataset, recipe, features, parent_run=None)
    fused = train_systems(dataset, recipe, features, spaces, parent_run=None)
    report = read_report(evaluate(dataset, recipe, fused, served_system(recipe), None))
    show_systems(report, dataset)
    return report


def train_systems(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    parent_run: str | None,
) -> list[FusedView]:
    """The fusion of all streams, each stream alone for comparison, and the ensemble with its members, if there is one."""
    features = extract_frames(dataset, recipe, features, spaces)
    systems: dict[str, tuple[str, ...]] = {FUSED: recipe.reads}
    if len(recipe.streams) > 1:
        systems |= {stream: (stream,) for stream in recipe.streams}
    runs = [
        fuse_view.submit(dataset, recipe, features, space, view, system, streams, (), parent_run)
        for system, streams in systems.items()
        for view, space in spaces.items()
    ]
    return fused_in_turn(runs) + train_ensemble(dataset, recipe, features, spaces, parent_run)


def fused_in_turn(runs: Sequence[PrefectFuture[FusedView]]) -> list[FusedView]:
    """Results of fusion tasks in their order, each named as soon as it and those before it are there."""
    progress = StepProgress("fusion", len(runs), "model")
    results = []
    for run in runs:
        results.append(run.result())
        progress.advance(f"{results[-1].system}, {results[-1].view}")
    return results


def served_system(recipe: Recipe) -> str:
    """Name of the supervised system that is gated and served."""
    return ENSEMBLE if recipe.serves_ensemble else FUSED


def train_ensemble(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    parent_run: str | None,
    pseudo: PseudoByView | None = None,
) -> list[FusedView]:
    """Every member on every view, then their combination; empty without an ensemble in the recipe.

    With `pseudo` all names end in `+pseudo`.
    """
    mark = "" if pseudo is None else PSEUDO
    runs = {
        (name, view): fuse_view.submit(
            dataset,
            recipe.model_copy(update={"fusion": fusion}),
            features,
            space,
            view,
            f"{ENSEMBLE}/{name}{mark}",
            recipe.reads,
            pseudo[view] if pseudo is not None else (),
            parent_run,
        )
        for name, fusion in recipe.member_fusions.items()
        for view, space in spaces.items()
    }
    if not runs:
        return []
    members = dict(zip(runs, fused_in_turn(list(runs.values())), strict=True))
    combined = [
        combine_view.submit(
            dataset,
            recipe,
            features,
            space,
            view,
            {name: members[name, view] for name in recipe.member_fusions},
            parent_run,
            ENSEMBLE + mark,
        )
        for view, space in spaces.items()
    ]
    return [*members.values(), *(run.result() for run in combined)]


def train_with_pseudo_labels(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    supervised: Sequence[FusedView],
    pseudo: PseudoByView,
    parent_run: str | None,
) -> list[FusedView]:
    """What is served once more with each view's own pseudo-labels: the fusion, or the ensemble's members and their combination.

    From scratch, or, where the recipe says `start: warm`, from the view's supervised fusion.
    """
    features = extract_frames(dataset, recipe, features, spaces)
    if recipe.serves_ensemble:
        return train_ensemble(dataset, recipe, features, spaces, parent_run, pseudo)
    warm = recipe.pseudo_labels is not None and recipe.pseudo_labels.start == "warm"
    models = {item.view: item.model for item in supervised if item.system == FUSED}
    runs = [
        fuse_view.submit(
            dataset,
            recipe,
            features,
            spaces[view],
            view,
            FUSED + PSEUDO,
            recipe.reads,
            labels,
            parent_run,
            models[view] if warm else None,
        )
        for view, labels in pseudo.items()
    ]
    return fused_in_turn(runs)
