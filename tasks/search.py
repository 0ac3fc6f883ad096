"""Search over layers and fusion hyper-parameters: a trial trains the fusion of every fold view, judged on validation speakers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from prefect import task

from infra.studies import open_study
from mer.recipes import Recipe
from mer.training.partition import FINAL_VIEW
from tasks.fusion import fuse_view
from tasks.references import DatasetRef, FeatureSetRef, ViewSpaces
from tasks.workspace import workspace

if TYPE_CHECKING:
    from optuna.trial import Trial


@dataclass(frozen=True)
class SearchReport:
    """What a study has found so far."""

    study: str
    trials: int
    best_value: float
    """Mean WAF on the validation speakers of the fold views. Not a test score: report that of a run with these options."""
    best_params: dict[str, Any]
    models_trained: int


@task(name="search", task_run_name="search {study}", tags=["gpu"])
def search_fusion(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    study: str,
    trials: int,
) -> SearchReport:
    """Run trials until the study has `trials` finished ones; test folds are never looked at."""
    folds = {view: space for view, space in spaces.items() if view != FINAL_VIEW}
    layers = [space.read_layer for space in folds.values()]

    def objective(trial: Trial) -> float:
        candidate = suggest(trial, recipe)
        layer = trial.suggest_int("layer", 0, _layer_count(folds)) if layers[0] is not None else None
        scores = []
        for step, (view, space) in enumerate(folds.items()):
            chosen = replace(space, read_layer=layer)
            fused = fuse_view.fn(dataset, candidate, features, chosen, view, f"trial {trial.number}")
            scores.append(fused.validation_waf)
            trial.report(fmean(scores), step)
        return fmean(scores)

    from optuna.trial import TrialState

    space = workspace()
    found = open_study(space.settings, study, seed=recipe.seed)
    finished = len(found.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    found.optimize(objective, n_trials=max(0, trials - finished))
    return SearchReport(
        study=study,
        trials=len(found.trials),
        best_value=float(found.best_value),
        best_params=dict(found.best_params),
        models_trained=len(found.trials) * len(folds),
    )


def suggest(trial: Trial, recipe: Recipe) -> Recipe:
    """The recipe with a trial's fusion options."""
    fusion = recipe.fusion.model_copy(
        update={
            "model": trial.suggest_categorical("model", ["attention", "attention_softmax", "concat"]),
            "hidden": trial.suggest_categorical("hidden", [64, 128, 256]),
            "dropout": trial.suggest_float("dropout", 0.2, 0.7),
            "modality_dropout": trial.suggest_float("modality_dropout", 0.0, 0.3),
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
            "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        }
    )
    return recipe.model_copy(update={"fusion": fusion})


def _layer_count(spaces: Mapping[str, ViewSpaces]) -> int:
    return max(space.layer_count for space in spaces.values())
