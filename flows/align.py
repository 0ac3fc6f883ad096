"""Alignment as a command of its own: aligned per view, then studied on the speakers that view never saw.

The controls on shuffled pairs run here by default, so that no figure of an alignment is read without them; the flows that only
use an alignment (`retrain`, `train`) do not pay for them.
"""

from __future__ import annotations

from prefect import flow

from flows.features import extract_streams
from flows.ingest import ingest_corpus
from flows.options import AlignOptions
from flows.pretrain import pretrain_views
from flows.reporting import show_alignment_study
from flows.runners import configured_task_runner
from mer.errors import ConfigError
from mer.recipes import load_recipe
from mer.training.partition import FINAL_VIEW
from tasks.learn.alignment_study import pooled_study, study_alignment_of_view


@flow(name="align", task_runner=configured_task_runner())
def align(options: AlignOptions) -> dict[str, float]:
    """Layer study, adaptation and alignment of every view; then the study of the outer folds' alignments, pooled."""
    recipe = load_recipe(options.recipe)
    if recipe.acoustic is None or recipe.visual is None or recipe.visual.alignment is None:
        raise ConfigError(
            f"recipe {options.recipe}: expected an acoustic stream and a visual one with `alignment`, found no such pair; "
            "add `alignment: {}` to the visual stream"
        )
    dataset, _ = ingest_corpus(recipe, options)
    features = extract_streams(dataset, recipe)
    spaces = pretrain_views(dataset, recipe, features, parent_run=None)
    studies = {
        view: study_alignment_of_view.submit(
            dataset, recipe, features["acoustic"], features["visual"], space, view, options.study, None
        )
        for view, space in spaces.items()
        if view != FINAL_VIEW
    }
    figures = pooled_study([study.result() for study in studies.values()], options.study)
    show_alignment_study(figures)
    return figures
