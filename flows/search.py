"""Search: Optuna over what is read of the streams and how it is fused, on training folds only, resumable."""

from __future__ import annotations

from pathlib import Path

from flows.experiment import Experiment
from flows.features import extract_frames, extract_streams
from flows.ingest import ingest_corpus
from flows.options import SearchOptions
from flows.pipeline_flow import pipeline_flow
from flows.pretrain import pretrain_views
from flows.terminal import Terminal
from infra.modes import as_the_user_writes
from infra.settings import load_settings
from infra.studies import dashboard_command
from mer.search.searched_recipe import recipe_piece, whole_recipe, writable
from mer.whole_files import write_whole
from tasks.learn.search import SearchPlan, SearchReport, search_fusion

console = Terminal(highlight=False, soft_wrap=True)


@pipeline_flow("search")
def search(options: SearchOptions) -> SearchReport:
    """Continue a study until it has the trials asked for; prints the best options as a piece of recipe, or writes a whole one."""
    recipe = options.load_recipe()
    recipe.require_vectors()
    target = writable(Path(options.write_recipe)) if options.write_recipe else None
    dataset, _ = ingest_corpus(recipe, options)
    experiment = extract_frames(pretrain_views(extract_streams(Experiment(recipe, dataset))))
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
    # over the recipe as its file says it, so that the piece is a whole recipe file
    piece = recipe_piece(options.load_recipe_alone(), report.best_recipe)
    console.print(f"extends: {options.recipe_source}\n{piece}", markup=False, end="")
    if target is not None:
        notes = (
            f"study {report.study}, {report.trials} trials around recipe {recipe.name}",
            f"mean WAF on the validation speakers of the folds: {report.best_value:.4f} when chosen, "
            f"{report.fresh_value:.4f} with fresh seeds (the recipe itself {report.recipe_value:.4f}, "
            f"{report.recipe_again:.4f})",
            "One choice was made for all folds, and validation speakers of one fold are tested in another: out-of-fold scores",
            "of this recipe are slightly optimistic. The holdout was not seen.",
        )
        with as_the_user_writes():
            write_whole(target, whole_recipe(report.best_recipe, notes).encode(), sweep=True)
        console.print(f"whole recipe in {target}: mer run --recipe {target}", markup=False)
    console.print(f"history and importance: MLflow, or {dashboard_command(load_settings())}", markup=False)
    return report
