"""Search: Optuna over what is read of the streams and how it is fused, on training folds only, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from flows.experiment import Experiment
from flows.features import extract_frames, extract_streams
from flows.ingest import ingest_corpus
from flows.options import SearchOptions
from flows.pipeline_flow import pipeline_flow
from flows.pretrain import pretrain_views
from flows.progress import FUSION, PartProgress, begin_stage
from flows.terminal import Terminal
from infra.modes import as_the_user_writes
from infra.settings import load_settings
from infra.studies import dashboard_command
from mer.recipes import Recipe
from mer.search.machines import narrowed
from mer.search.searched_recipe import recipe_piece, whole_recipe, writable
from mer.training.partition import FINAL_VIEW
from mer.whole_files import write_whole
from tasks.learn.machine_search import SearchedFold, search_machines_of
from tasks.learn.search import SearchPlan, SearchReport, search_fusion
from tasks.stage.part_progress import listening

_OPTIMISTIC = (
    "One choice was made for all folds, and validation speakers of one fold are tested in another: out-of-fold scores",
    "of this recipe are slightly optimistic. The holdout was not seen.",
)

console = Terminal(highlight=False, soft_wrap=True)


@pipeline_flow("search")
def search(options: SearchOptions) -> SearchReport | MachineReport:
    """Continue a study until it has the trials asked for; prints the best options as a piece of recipe, or writes a whole one.

    A recipe that serves a searched system has its own search: streams, kernel weights and members that the folds' training clips
    choose are proposed, and trials are not read.
    """
    recipe = options.load_recipe()
    recipe.require_vectors()
    target = writable(Path(options.write_recipe)) if options.write_recipe else None
    dataset, _ = ingest_corpus(recipe, options)
    experiment = extract_frames(pretrain_views(extract_streams(Experiment(recipe, dataset))))
    if experiment.recipe.serves_ensemble and experiment.recipe.searched_choice is not None:
        return _machines(experiment, options, target)
    plan = SearchPlan(
        study=options.study,
        trials=options.trials,
        sampler=options.sampler,
        batch=options.batch,
        first_rung=options.first_rung or None,
        fresh_seeds=options.fresh_seeds,
    )
    inputs = {view.name: experiment.inputs(view) for view in experiment.views}
    report = search_fusion(dataset, experiment.recipe, inputs, plan)
    console.print(
        f"[bold]study {report.study}[/]: {report.trials} trials, {report.models_trained} models and {report.models_again} "
        f"trained again with fresh seeds; best mean WAF on validation speakers {report.best_value:.3f} when chosen, "
        f"{report.fresh_value:.3f} again (a choice, not a test score); the recipe itself {report.recipe_value:.3f}, "
        f"again {report.recipe_again:.3f}"
    )
    _propose(
        options,
        report.best_recipe,
        target,
        (
            f"study {report.study}, {report.trials} trials around recipe {recipe.name}",
            f"mean WAF on the validation speakers of the folds: {report.best_value:.4f} when chosen, "
            f"{report.fresh_value:.4f} with fresh seeds (the recipe itself {report.recipe_value:.4f}, "
            f"{report.recipe_again:.4f})",
            *_OPTIMISTIC,
        ),
    )
    console.print(f"history and importance: MLflow, or {dashboard_command(load_settings())}", markup=False)
    return report


@dataclass(frozen=True)
class MachineReport:
    """What the searches of the outer folds chose, and what a search that is narrowed to that scores."""

    recipe_waf: float
    """Mean over the folds of weighted F1 on inner folds of their training clips; the recipe itself."""
    narrowed_waf: float
    """The same of the narrowed recipe."""
    best_recipe: Recipe
    """The narrowed recipe, unless it scores less."""


def _machines(experiment: Experiment, options: SearchOptions, target: Path | None) -> MachineReport:
    """The search of a recipe that serves a searched system."""
    recipe = experiment.recipe
    console.print(
        f"recipe {recipe.name} serves a searched system: what its search chooses among is narrowed; trials of Optuna over fusion "
        "models are for `--set fusion.model=attention`, or a recipe that serves a fusion",
        markup=False,
    )
    begin_stage(FUSION)
    whole = _searched_folds(experiment)
    for fold in whole:
        weights = ", ".join(f"{table} {weight:g}" for table, weight in fold.choice.weights.items())
        console.print(
            f"  {fold.view}: WAF {fold.waf:.3f} on inner folds of {fold.clips} clips; kernel weights {weights}; members "
            f"{' and '.join(fold.choice.members)}",
            markup=False,
        )
    fewer = narrowed(recipe, [fold.choice for fold in whole])
    again = _searched_folds(replace(experiment, recipe=fewer))
    report = MachineReport(fmean(fold.waf for fold in whole), fmean(fold.waf for fold in again), fewer)
    console.print(
        f"[bold]search on inner folds[/]: mean WAF {report.recipe_waf:.3f} by the recipe, {report.narrowed_waf:.3f} by a search "
        "among what the folds chose (no test clip was looked at)"
    )
    if report.narrowed_waf < report.recipe_waf:
        console.print("the recipe itself is better: it is proposed as it is")
        report = replace(report, best_recipe=recipe)
    notes = (
        f"around recipe {recipe.name}: streams, kernel weights and members that the outer folds' training clips chose",
        f"mean WAF on inner folds of the folds' training clips: {report.narrowed_waf:.4f} (the recipe itself "
        f"{report.recipe_waf:.4f})",
        *_OPTIMISTIC,
    )
    _propose(options, report.best_recipe, target, notes)
    return report


def _searched_folds(experiment: Experiment) -> list[SearchedFold]:
    choice = experiment.recipe.searched_choice
    assert choice is not None
    with listening(PartProgress("search")):
        runs = [
            search_machines_of.submit(view, experiment.inputs(view), choice)
            for view in experiment.views
            if view.name != FINAL_VIEW
        ]
        return [run.result() for run in runs]


def _propose(options: SearchOptions, best: Recipe, target: Path | None, notes: Sequence[str]) -> None:
    """Print what differs as a recipe over the one that was named, and write the whole of it where asked for."""
    # over the recipe as its file says it, so that the piece is a whole recipe file
    piece = recipe_piece(options.load_recipe_alone(), best)
    console.print(f"extends: {options.recipe_source}\n{piece}", markup=False, end="")
    if target is not None:
        with as_the_user_writes():
            write_whole(target, whole_recipe(best, notes).encode(), sweep=True)
        console.print(f"whole recipe in {target}: mer run --recipe {target}", markup=False)
