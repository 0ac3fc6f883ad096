"""Pseudo-label refresh (system B): confident predictions on unlabelled clips train one more round; true labels choose.

Each outer fold labels the unlabelled clips with its own model, so no test label reaches a pseudo-label, and the round is kept
only if it helps on the validation speakers' true labels, averaged over the views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from prefect import flow

from flows.features import extract_streams
from flows.ingest import ingest_corpus
from flows.options import DemoOptions
from flows.pretrain import pretrain_views
from flows.reporting import show_refresh
from flows.runners import configured_task_runner
from flows.train import PSEUDO, served_system, train_systems, train_with_pseudo_labels
from mer.recipes import Recipe, load_recipe
from mer.training.partition import FINAL_VIEW
from tasks.pseudo_labels import record_generation, select_view
from tasks.references import DatasetRef, FeatureSetRef, FusedView, ViewSpaces


@flow(name="refresh", task_runner=configured_task_runner())
def refresh(options: DemoOptions) -> str:
    """One round of self-training on what is unlabelled now; returns the system that validation speakers prefer."""
    recipe = load_recipe(options.recipe)
    dataset, _ = ingest_corpus(recipe, options)
    features = extract_streams(dataset, recipe)
    spaces = pretrain_views(dataset, recipe, features, parent_run=None)
    fused = train_systems(dataset, recipe, features, spaces, parent_run=None)
    return refresh_pseudo_labels(dataset, recipe, features, spaces, fused, parent_run=None)[1]


def refresh_pseudo_labels(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    fused: Sequence[FusedView],
    parent_run: str | None,
) -> tuple[list[FusedView], str]:
    """Select, retrain, compare; returns all systems, and the name of the one to serve.

    What would be served votes: the fusion, or the ensemble.
    """
    served = served_system(recipe)
    if recipe.pseudo_labels is None or dataset.unlabelled == 0:
        return list(fused), served
    voters = {item.view: item for item in fused if item.system == served}
    selections = {
        view: select_view.submit(dataset, recipe, voter, view, parent_run) for view, voter in voters.items()
    }
    selected = {view: selection.result() for view, selection in selections.items()}
    usable = {view: result.ref if int(result.meta["selected"]) else None for view, result in selected.items()}
    if (
        usable[FINAL_VIEW] is None
    ):  # a fold without confident clips stays as it is; without the served view's there is no round
        show_refresh(selected, None, None)
        return list(fused), served
    again = train_with_pseudo_labels(dataset, recipe, features, spaces, usable, parent_run)
    rivals = [item for item in again if item.system == served + PSEUDO]
    before, after = (fmean(item.validation_waf for item in items) for items in (voters.values(), rivals))
    show_refresh(selected, before, after)
    if after > before:
        record_generation(dataset, recipe, voters[FINAL_VIEW], selected[FINAL_VIEW])
        return [*fused, *again], served + PSEUDO
    return [*fused, *again], served
