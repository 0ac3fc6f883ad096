"""Fusion training: attention over adapted, aligned and frozen streams; every system on every view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.futures import PrefectFuture

from flows.experiment import Experiment
from flows.features import extract_frames, extract_streams
from flows.ingest import ingest_corpus
from flows.options import DemoOptions
from flows.pipeline_flow import pipeline_flow
from flows.pretrain import pretrain_views
from flows.progress import EVALUATION, FUSION, PartProgress, StepProgress, begin_stage, plan_stages
from flows.reporting import show_remarks
from flows.result_table import show_systems
from infra.artifacts import ArtifactRef
from mer.recipes.systems import ENSEMBLE, leading_system, scored_systems, served_name
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import training_remarks
from tasks.learn.ensemble import Members, combine_view
from tasks.learn.fusion import fuse_view
from tasks.serve.evaluation import PSEUDO_MARK, evaluate, read_report
from tasks.stage.part_progress import listening
from tasks.stage.references import FusedView, FusionJob, view_label

PSEUDO = PSEUDO_MARK
PseudoByView = Mapping[str, Sequence[ArtifactRef]]
"""View -> its own selections of pseudo-labels, by generation."""


@pipeline_flow("train")
def train(options: DemoOptions) -> dict[str, Any]:
    """Train and score the recipe's systems, supervised only; returns the evaluation's report."""
    recipe = options.load_recipe()
    recipe.require_vectors()
    plan_stages(recipe, EVALUATION)
    dataset, _ = ingest_corpus(recipe, options)
    show_remarks(training_remarks(dataset, recipe.gate.min_clips))
    experiment = pretrain_views(extract_streams(Experiment(recipe, dataset)))
    fused = train_systems(experiment)
    begin_stage(EVALUATION)
    evaluation = evaluate(experiment.served_view, fused, served_name(recipe), recipe.label_shift)
    report = read_report(evaluation)
    show_systems(report, dataset)
    return report


def train_systems(experiment: Experiment) -> list[FusedView]:
    """The fusion or the searched system, what is compared with it, and the ensemble with its members, if there is one."""
    recipe = experiment.recipe
    begin_stage(FUSION)
    experiment = extract_frames(experiment)
    runs = [
        fuse_view.submit(
            view,
            experiment.frozen_inputs(view, system.streams)
            if system.frozen
            else experiment.inputs(view, system.streams),
            FusionJob(system.name, system.choice, whole=system.whole),
        )
        for system in scored_systems(recipe)
        for view in experiment.views
        if not (system.scored_only and view.name == FINAL_VIEW)
    ]
    return fused_in_turn(runs) + train_ensemble(experiment)


def fused_in_turn(runs: Sequence[PrefectFuture[FusedView]]) -> list[FusedView]:
    """Results of fusion tasks in their order, each named as soon as it is there."""
    progress = StepProgress("fusion", len(runs), "model")
    with listening(PartProgress("fusion")):
        for run in progress.as_they_end(runs):
            done = run.result()
            progress.advance(f"{done.system}, {view_label(done.view, done.part)}", found=done.found)
    return [run.result() for run in runs]


def train_ensemble(experiment: Experiment, pseudo: PseudoByView | None = None) -> list[FusedView]:
    """Every named member on every view, then their combination; empty without named members in the recipe.

    With `pseudo` only the views that it names are trained, and all names end in `+pseudo`.
    """
    recipe = experiment.recipe
    choices = recipe.member_choices
    if recipe.ensemble is None or not choices:
        return []
    mark = "" if pseudo is None else PSEUDO
    views = [view for view in experiment.views if pseudo is None or view.name in pseudo]
    runs = {
        (name, view.name): fuse_view.submit(
            view,
            experiment.inputs(view),
            FusionJob(
                f"{ENSEMBLE}/{name}{mark}",
                choice,
                pseudo=tuple(pseudo[view.name]) if pseudo is not None else (),
                self_training=recipe.pseudo_labels,
                taught=recipe.taught(choice),
            ),
        )
        for name, choice in choices.items()
        for view in views
    }
    members = dict(zip(runs, fused_in_turn(list(runs.values())), strict=True))
    combined = [
        combine_view.submit(
            view,
            experiment.inputs(view),
            Members(recipe.ensemble, choices, {name: members[name, view.name] for name in choices}),
            ENSEMBLE + mark,
        )
        for view in views
    ]
    return [*members.values(), *(run.result() for run in combined)]


def train_with_pseudo_labels(
    experiment: Experiment, supervised: Sequence[FusedView], pseudo: PseudoByView
) -> list[FusedView]:
    """What is served once more with each view's own pseudo-labels: one system, or the ensemble's members and their combination.

    From scratch, or, where the recipe says `start: warm`, from the view's supervised fusion.
    """
    recipe = experiment.recipe
    experiment = extract_frames(experiment)
    if recipe.member_choices and recipe.serves_ensemble:
        return train_ensemble(experiment, pseudo)
    leading = leading_system(recipe)
    warm = recipe.pseudo_labels is not None and recipe.pseudo_labels.start == "warm"
    models = {item.view: item.model for item in supervised if item.system == leading.name}
    runs = [
        fuse_view.submit(
            experiment.view(view),
            experiment.inputs(experiment.view(view), leading.streams),
            FusionJob(
                leading.name + PSEUDO,
                leading.choice,
                pseudo=tuple(labels),
                self_training=recipe.pseudo_labels,
                taught=recipe.taught(leading.choice),
                start=models[view] if warm else None,
                whole=leading.whole,
            ),
        )
        for view, labels in pseudo.items()
    ]
    return fused_in_turn(runs)
