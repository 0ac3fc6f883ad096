"""Search over layers, streams and fusion options: trials are asked for in batches, trained as one stack over the fold views, and
judged on validation speakers. The best are trained again with fresh seeds before they are believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import task

from infra.studies import SURPLUS, Sampler, alive, claim, finish, finished_trials, open_study, seed_draws
from mer.fusion.config import FusionConfig
from mer.recipes import Recipe
from mer.training.partition import FINAL_VIEW
from tasks.compute import computing
from tasks.dataset import load_view
from tasks.references import DatasetRef, FeatureSetRef, ViewSpaces
from tasks.streams import frames_name, view_streams
from tasks.workspace import workspace

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

    from mer.search.candidates import Candidate, Prune
    from mer.training.stack_data import StackView

REDUCTION = 3
BELIEVED = 3
"""Trials that are trained again with fresh seeds."""
_WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class SearchPlan:
    """How a study is run."""

    study: str
    trials: int
    """Finished trials the study shall have in the end."""
    sampler: Sampler = "tpe"
    batch: int = 8
    """Trials that are taken at once and trained as a stack."""
    first_rung: int | None = 9
    """Epochs after which trials are first given up; None: never."""
    fresh_seeds: int = 2


@dataclass(frozen=True)
class SearchReport:
    """What a study has found so far."""

    study: str
    trials: int
    best_value: float
    """Mean WAF on the validation speakers of the fold views, as it was when chosen. Not a test score: report that of a run
    with these options."""
    fresh_value: float
    """The same options with fresh seeds: the chance of the first draw is gone. NaN where none were asked for."""
    best_params: dict[str, Any]
    models_trained: int
    """Models of all trials, those of dead workers included."""
    models_again: int
    """Models trained again with fresh seeds."""


Views = Callable[[Mapping[str, Any]], "tuple[StackView, ...]"]
"""The fold views with the features that a trial's parameters ask for."""


@task(name="search", task_run_name="search {plan.study}", tags=["gpu"])
def search_fusion(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    plan: SearchPlan,
) -> SearchReport:
    """Run trials until the study has as many finished ones as planned; test folds are never looked at."""
    folds = {view: own for view, own in spaces.items() if view != FINAL_VIEW}
    layers = max(own.layer_count for own in folds.values())
    # frames are extracted of each view's own layer only: of all layers they would be too many
    fixed = recipe.fusion.level == "frames" or any(own.read_layer is None for own in folds.values())
    searched = None if fixed else layers
    space = workspace()
    study = open_study(
        space.settings,
        plan.study,
        seed=recipe.seed,
        sampler=plan.sampler,
        first_rung=plan.first_rung,
        reduction=REDUCTION,
    )
    views = _views_of(dataset, recipe, features, folds)
    run_trials(study, plan, recipe, views, searched, lambda: computing(space.settings))
    with computing(space.settings):
        best, fresh = believed(study, plan, recipe, views)
    report = SearchReport(
        study=plan.study,
        trials=len(finished_trials(study)),
        best_value=float(best.value),
        fresh_value=fresh,
        best_params=dict(best.params),
        models_trained=len(folds) * sum(_trained(trial) for trial in study.get_trials(deepcopy=False)),
        models_again=len(folds)
        * sum(len(values) for name, values in study.user_attrs.items() if name.startswith("again")),
    )
    space.tracker.log_run(
        f"search {plan.study}",
        params={name: str(value) for name, value in report.best_params.items()},
        metrics={
            "best_validation_waf": report.best_value,
            "fresh_validation_waf": report.fresh_value,
            "trials": float(report.trials),
            "models_trained": float(report.models_trained),
            "models_again": float(report.models_again),
        },
        figures=figures(study),
        status="FINISHED",
    )
    return report


def run_trials(
    study: Study,
    plan: SearchPlan,
    recipe: Recipe,
    views: Views,
    layers: int | None,
    computing_turn: Callable[[], Any],
) -> None:
    """Take batches of trials and train them, until the study has as many as planned, whoever finishes them.

    A worker without a trial waits for the others: if one dies, its trials are tried again here.
    """
    while len(finished_trials(study)) < plan.trials:
        trials = claim(study, plan.trials, plan.batch)
        if not trials:
            time.sleep(min(_WAIT_SECONDS, study._storage.get_heartbeat_interval()))
            continue
        with alive(study, trials), computing_turn():
            _run_batch(study, trials, plan, recipe, views, layers)


def _run_batch(
    study: Study, trials: Sequence[Trial], plan: SearchPlan, recipe: Recipe, views: Views, layers: int | None
) -> None:
    from mer.search.candidates import Candidate, train_candidates

    candidates: list[Candidate] = []
    for trial in trials:
        seed_draws(trial, plan.sampler, recipe.seed)
        config = suggest(trial, recipe, layers)
        candidates.append(Candidate(config, views(trial.params)))
    judged = train_candidates(candidates, _pruning(study, trials, plan))
    for trial, own in zip(trials, judged, strict=True):
        finish(study, trial, own.score, pruned=own.pruned)


def suggest(trial: Trial, recipe: Recipe, layers: int | None) -> FusionConfig:
    """The fusion options of a trial; the layer and the streams are among its parameters.

    Args:
        trial: to be filled.
        recipe: what is not searched.
        layers: the last hidden state that may be read; None: the layer is not searched.
    """
    config = recipe.fusion.model_copy(
        update={
            "model": trial.suggest_categorical("model", ["attention", "attention_softmax", "concat"]),
            "hidden": trial.suggest_categorical("hidden", [64, 128, 256]),
            "dropout": trial.suggest_float("dropout", 0.2, 0.7),
            "modality_dropout": trial.suggest_float("modality_dropout", 0.0, 0.3),
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
            "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        }
    )
    if layers is not None:
        trial.suggest_int("layer", 0, layers)
    if len(recipe.streams) > 1:
        trial.suggest_categorical("streams", _stream_sets(recipe.streams))
    return config


def believed(study: Study, plan: SearchPlan, recipe: Recipe, views: Views) -> tuple[FrozenTrial, float]:
    """The best of the leading trials by their mean over fresh seeds, and that mean.

    What has been trained again is kept in the study, so that a continued search does not repeat it.
    """
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    leading = sorted(complete, key=lambda trial: (-float(trial.value), trial.number))[:BELIEVED]
    if plan.fresh_seeds == 0:
        return leading[0], float("nan")
    again = {trial.number: _again(study, trial, plan.fresh_seeds, recipe, views) for trial in leading}
    best = max(leading, key=lambda trial: fmean(again[trial.number]))
    return best, fmean(again[best.number])


def figures(study: Study) -> dict[str, bytes]:
    """History, and importance of the options where there are trials enough to tell."""
    from optuna.importance import get_param_importances
    from optuna.trial import TrialState

    from mer.search.figures import history_figure, importance_figure

    trials = sorted(finished_trials(study), key=lambda trial: trial.number)
    early = [trial.state == TrialState.PRUNED for trial in trials]
    drawn = {"history.png": history_figure([float(trial.value) for trial in trials], early)}
    values = [trial.value for trial, gone in zip(trials, early, strict=True) if not gone]
    if len(values) >= 4 and len(set(values)) > 1:
        drawn["importance.png"] = importance_figure(get_param_importances(study))
    return drawn


def _again(study: Study, trial: FrozenTrial, seeds: int, recipe: Recipe, views: Views) -> list[float]:
    from mer.search.candidates import Candidate, train_candidates

    name = f"again {trial.number}"
    done: list[float] = list(study.user_attrs.get(name, ()))
    if len(done) < seeds:
        options = {key: value for key, value in trial.params.items() if key in FusionConfig.model_fields}
        config = recipe.fusion.model_copy(update=options)
        candidates = [
            Candidate(config.model_copy(update={"seed": config.seed + 1 + number}), views(trial.params))
            for number in range(len(done), seeds)
        ]
        done += [judged.score for judged in train_candidates(candidates)]
        study.set_user_attr(name, done)
    return done[:seeds]


def _pruning(study: Study, trials: Sequence[Trial], plan: SearchPlan) -> Prune | None:
    """Asynchronous successive halving: the storage knows what every worker's trials had reached at the same rung."""
    if plan.first_rung is None:
        return None
    rung = [plan.first_rung]

    def prune(epoch: int, scores: Mapping[int, float]) -> list[int]:
        if epoch < rung[0]:
            return []
        rung[0] *= REDUCTION
        given_up = []
        # the better ones first: a rung keeps what is among the best of those that have reached it
        for number in sorted(scores, key=lambda candidate: -scores[candidate]):
            if _running(study, trials[number]):
                trials[number].report(scores[number], epoch)
                if trials[number].should_prune():
                    given_up.append(number)
            else:  # thought dead meanwhile and tried again elsewhere
                given_up.append(number)
        return given_up

    return prune


def _running(study: Study, trial: Trial) -> bool:
    return not study._storage.get_trial(trial._trial_id).state.is_finished()


def _trained(trial: FrozenTrial) -> bool:
    """Whether models were trained for it, to the end or not."""
    from optuna.trial import TrialState

    return trial.state != TrialState.WAITING and SURPLUS not in trial.user_attrs


def _views_of(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    folds: Mapping[str, ViewSpaces],
) -> Views:
    """Views by layer and streams, each read once and kept; views that read the same frames share them in memory."""
    from mer.features.dataset import RaggedTable
    from mer.search.candidates import search_view
    from mer.training.stack_frames import FrameStore

    space = workspace()
    kept: dict[tuple[Any, ...], StackView] = {}
    stores: dict[str, FrameStore] = {}

    def views(params: Mapping[str, Any]) -> tuple[StackView, ...]:
        layer = params.get("layer")
        streams = tuple(str(params.get("streams", "+".join(recipe.streams))).split("+"))
        for view, own in folds.items():
            if (view, layer, streams) in kept:
                continue
            examples, partition = load_view(space, dataset, recipe, view)
            rows = np.flatnonzero(partition.train | partition.validation)
            chosen = own if layer is None else replace(own, read_layer=layer)
            tables = view_streams(
                space, recipe, features, chosen, [examples.clip_ids[i] for i in rows], streams
            )
            framewise = {
                name: stores.setdefault(frames_name(name, chosen), FrameStore())
                for name, table in tables.items()
                if isinstance(table, RaggedTable)
            }
            kept[view, layer, streams] = search_view(
                examples, partition, tables, len(recipe.emotions), framewise
            )
        return tuple(kept[view, layer, streams] for view in folds)

    return views


def _stream_sets(streams: Sequence[str]) -> list[str]:
    """All subsets with at least one stream, the whole first."""
    return ["+".join(own) for size in range(len(streams), 0, -1) for own in combinations(streams, size)]
