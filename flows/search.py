"""Search: Optuna over the layer that is read and the fusion's hyper-parameters, on training folds only, resumable."""

from __future__ import annotations

from prefect import flow
from rich.console import Console

from flows.features import extract_frames, extract_streams
from flows.ingest import ingest_corpus
from flows.options import SearchOptions
from flows.pretrain import pretrain_views
from flows.runners import configured_task_runner
from mer.recipes import load_recipe
from tasks.search import SearchPlan, SearchReport, search_fusion


@flow(name="search", task_runner=configured_task_runner())
def search(options: SearchOptions) -> SearchReport:
    """Continue a study until it has the trials asked for; prints the best options as a piece of recipe."""
    recipe = load_recipe(options.recipe)
    dataset, _ = ingest_corpus(recipe, options)
    features = extract_streams(dataset, recipe)
    spaces = pretrain_views(dataset, recipe, features, parent_run=None)
    features = extract_frames(dataset, recipe, features, spaces)
    study = options.study or f"{recipe.name}/{dataset.corpus}/{dataset.membership[:8]}"
    plan = SearchPlan(
        study=study,
        trials=options.trials,
        sampler=options.sampler,
        batch=options.batch,
        first_rung=options.first_rung or None,
        fresh_seeds=options.fresh_seeds,
    )
    report = search_fusion(dataset, recipe, features, spaces, plan)
    console = Console(highlight=False)
    console.print(
        f"[bold]study {report.study}[/]: {report.trials} trials, {report.models_trained} models and {report.models_again} "
        f"trained again with fresh seeds; best mean WAF on validation speakers {report.best_value:.3f} when chosen, "
        f"{report.fresh_value:.3f} again (a choice, not a test score)"
    )
    lines = [
        f"  {name}: {value}"
        for name, value in sorted(report.best_params.items())
        if name not in ("layer", "streams")
    ]
    console.print("fusion:\n" + "\n".join(lines))
    for name in ("layer", "streams"):
        if name in report.best_params:
            console.print(f"{name}: {report.best_params[name]}")
    return report
