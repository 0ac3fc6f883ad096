"""Search over the space of `mer.search.space`: trials are asked for in batches, trained side by side on the fold views, and
judged on validation speakers. The best are trained again with fresh seeds before they are believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import task

from infra.studies import (
    DEFAULTS,
    SURPLUS,
    Halving,
    Sampler,
    alive,
    claim,
    finish,
    finished_trials,
    open_study,
    seed_draws,
    settle_terms,
)
from mer.errors import ConfigError
from mer.fusion.registry import fusion_implementations, model_names
from mer.recipes import Recipe
from mer.search.space import SearchSpace, search_space
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import load_view
from tasks.data.streams import frames_name, view_streams
from tasks.learn.search_record import importances, keep_study
from tasks.stage.code_version import code_version
from tasks.stage.compute import computing
from tasks.stage.references import DatasetRef, StreamInputs, View
from tasks.stage.run import digest
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

    from mer.search.candidates import Candidate, Prune, SearchView

REDUCTION = 3
BELIEVED = 3
"""Trials that are trained again with fresh seeds, besides the recipe itself."""
_WAIT_SECONDS = 5.0
_CACHED_READINGS = 64
"""Different readings of the streams that are kept in memory for trials to come."""


@dataclass(frozen=True)
class SearchPlan:
    """How a study is run."""

    study: str
    """Empty: named after recipe, corpus and space."""
    trials: int
    """Finished trials the study shall have in the end."""
    sampler: Sampler = "tpe"
    batch: int = 8
    """Trials that are taken at once and trained side by side."""
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
    recipe_value: float
    """The recipe itself, as first trained; NaN where the study has not trained it."""
    recipe_again: float
    """The recipe itself with the same fresh seeds; NaN as before."""
    best_params: dict[str, Any]
    best_recipe: Recipe
    """The recipe that these options stand for: a run of it trains what was judged."""
    models_trained: int
    """Models of all trials, those of dead workers included."""
    models_again: int
    """Models trained again with fresh seeds."""


Views = Callable[[Recipe], "tuple[SearchView, ...]"]
"""The fold views with the features that a trial's recipe reads."""


@task(name="search", task_run_name="search {plan.study}", tags=["gpu"])
def search_fusion(
    dataset: DatasetRef, recipe: Recipe, inputs: Mapping[str, StreamInputs], plan: SearchPlan
) -> SearchReport:
    """Run trials until the study has as many finished ones as planned; test folds are never looked at.

    Args:
        dataset: the snapshot.
        recipe: what is searched around.
        inputs: outer fold -> its streams.
        plan: how the study is run.
    """
    space = workspace()
    folds = {view: streams for view, streams in inputs.items() if view != FINAL_VIEW}
    options = space_of(space, dataset, recipe, folds)
    study = open_search(space, dataset, plan, options, folds)
    views = _views_of(dataset, folds)
    run_trials(study, plan, options, views, lambda: computing(space.settings))
    with computing(space.settings):
        best, fresh = believed(study, plan, options, views)
    recipe_trial = _of_recipe(finished_trials(study))
    again = study.user_attrs.get(f"again {recipe_trial.number}", ()) if recipe_trial is not None else ()
    report = SearchReport(
        study=study.study_name,
        trials=len(finished_trials(study)),
        best_value=float(best.value),
        fresh_value=fresh,
        recipe_value=float(recipe_trial.value) if recipe_trial is not None else float("nan"),
        recipe_again=fmean(again[: plan.fresh_seeds]) if again and plan.fresh_seeds else float("nan"),
        best_params=dict(best.params),
        best_recipe=options.recipe_of(best.params),
        models_trained=len(folds) * sum(_trained(trial) for trial in study.get_trials(deepcopy=False)),
        models_again=len(folds)
        * sum(len(values) for name, values in study.user_attrs.items() if name.startswith("again")),
    )
    keep_study(space, study, dataset, recipe, (best, report.best_recipe))
    # parameters of a run never change in MLflow: a continued study that finds better ones is another run
    space.tracker.log_run(
        f"search {report.study}, {report.trials} trials, best {best.number}",
        params={name: str(value) for name, value in report.best_params.items()},
        tags={"study": report.study, "sampler": plan.sampler},
        dataset=(dataset.corpus, dataset.membership, dataset.clips),
        metrics={
            "best_validation_waf": report.best_value,
            "fresh_validation_waf": report.fresh_value,
            "recipe_validation_waf": report.recipe_value,
            "recipe_fresh_validation_waf": report.recipe_again,
            "trials": float(report.trials),
            "models_trained": float(report.models_trained),
            "models_again": float(report.models_again),
        },
        figures=figures(study),
        status="FINISHED",
    )
    return report


def space_of(
    space: Workspace, dataset: DatasetRef, recipe: Recipe, folds: Mapping[str, StreamInputs]
) -> SearchSpace:
    """Search space of this recipe on this corpus: read layers and valence options only where the corpus has them."""
    states = {
        name: 1 + min(streams[name].learnt.layer_count for streams in folds.values())
        for name in recipe.reads
        if all(streams[name].learnt.read_layer is not None for streams in folds.values())
    }
    examples, partition = load_view(space, View(dataset, next(iter(folds))))
    valence = bool(np.isfinite(examples.valence[partition.train]).any())
    return search_space(recipe, model_names(), states=states, valence=valence)


def open_search(
    space: Workspace,
    dataset: DatasetRef,
    plan: SearchPlan,
    options: SearchSpace,
    folds: Mapping[str, StreamInputs],
) -> Study:
    """The study; a new one begins with the recipe itself.

    Raises:
        ConfigError: the study named has trials of another recipe, corpus, space or code, which say nothing about this one.
    """
    recipe = options.recipe
    searched = fusion_implementations(*map(str, options.choices.get("model", (recipe.fusion.model,))))
    code = code_version(_run_batch, _again, _views_of, implementations=searched)
    terms = digest({**options.describe(), "membership": dataset.membership, "code": code})
    name = plan.study or f"{recipe.name}/{dataset.corpus}/{terms[:12]}"
    study: Study = open_study(
        space.settings,
        name,
        seed=recipe.seed,
        sampler=plan.sampler,
        halving=None if plan.first_rung is None else Halving(plan.first_rung, REDUCTION),
        defaults=options.defaults(
            {
                name: [
                    layer
                    for streams in folds.values()
                    if (layer := streams[name].learnt.read_layer) is not None
                ]
                for name in options.states
            }
        ),
    )
    if settle_terms(study, terms) != terms:
        raise ConfigError(
            f"study {name}: expected trials of this recipe, corpus, choice of options and code, found those of another one; "
            "give the search another --study, or leave it out"
        )
    return study


def run_trials(
    study: Study,
    plan: SearchPlan,
    options: SearchSpace,
    views: Views,
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
            _run_batch(study, trials, plan, options, views)


def _run_batch(
    study: Study, trials: Sequence[Trial], plan: SearchPlan, options: SearchSpace, views: Views
) -> None:
    from mer.search.candidates import Candidate, train_candidates

    candidates: list[Candidate] = []
    for trial in trials:
        seed_draws(trial, plan.sampler, options.recipe.seed)
        options.draw(trial)
        trial_recipe = options.recipe_of(trial.params)
        candidates.append(Candidate(trial_recipe.fusion, views(trial_recipe)))
    judged = train_candidates(candidates, _pruning(study, trials, plan))
    for trial, result in zip(trials, judged, strict=True):
        finish(study, trial, result.score, pruned=result.pruned)


def believed(study: Study, plan: SearchPlan, options: SearchSpace, views: Views) -> tuple[FrozenTrial, float]:
    """The best of the leading trials by their mean over fresh seeds, and that mean; the recipe itself is always among them.

    What has been trained again is kept in the study, so that a continued search does not repeat it.
    """
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    leading = sorted(complete, key=lambda trial: (-float(trial.value), trial.number))[:BELIEVED]
    if plan.fresh_seeds == 0:
        return leading[0], float("nan")
    recipe_trial = _of_recipe(complete)
    leading += [recipe_trial] if recipe_trial is not None and recipe_trial not in leading else []
    again = {trial.number: _again(study, trial, plan.fresh_seeds, options, views) for trial in leading}
    best = max(leading, key=lambda trial: fmean(again[trial.number]))
    return best, fmean(again[best.number])


def figures(study: Study) -> dict[str, bytes]:
    """History, and importance of the options where there are trials enough to tell."""
    from optuna.trial import TrialState

    from mer.search.figures import history_figure, importance_figure

    trials = sorted(finished_trials(study), key=lambda trial: trial.number)
    early = [trial.state == TrialState.PRUNED for trial in trials]
    drawn = {"history.png": history_figure([float(trial.value) for trial in trials], early)}
    if importance := importances(study):
        drawn["importance.png"] = importance_figure(importance)
    return drawn


def _again(study: Study, trial: FrozenTrial, seeds: int, options: SearchSpace, views: Views) -> list[float]:
    from mer.search.candidates import Candidate, train_candidates

    name = f"again {trial.number}"
    done: list[float] = list(study.user_attrs.get(name, ()))
    if len(done) < seeds:
        trial_recipe = options.recipe_of(trial.params)
        candidates = [
            Candidate(
                trial_recipe.fusion.model_copy(update={"seed": trial_recipe.fusion.seed + 1 + number}),
                views(trial_recipe),
            )
            for number in range(len(done), seeds)
        ]
        done += [judged.score for judged in train_candidates(candidates)]
        study.set_user_attr(name, done)
    return done[:seeds]


def _pruning(study: Study, trials: Sequence[Trial], plan: SearchPlan) -> Prune | None:
    """Asynchronous successive halving: the storage knows what every worker's trials had reached at the same rung.

    The recipe itself is trained to its end: what learns slowly looks bad early, and everything is held against it.
    """
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
                if not trials[number].user_attrs.get(DEFAULTS) and trials[number].should_prune():
                    given_up.append(number)
            else:  # thought dead meanwhile and tried again elsewhere
                given_up.append(number)
        return given_up

    return prune


def _of_recipe(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The trial of the recipe itself among these."""
    return next((trial for trial in trials if trial.user_attrs.get(DEFAULTS)), None)


def _running(study: Study, trial: Trial) -> bool:
    return not study._storage.get_trial(trial._trial_id).state.is_finished()


def _trained(trial: FrozenTrial) -> bool:
    """Whether models were trained for it, to the end or not."""
    from optuna.trial import TrialState

    return trial.state != TrialState.WAITING and SURPLUS not in trial.user_attrs


def _views_of(dataset: DatasetRef, folds: Mapping[str, StreamInputs]) -> Views:
    """Views by what is read of the streams, each read once and kept for some time; the same frames are shared in memory."""
    from mer.features.dataset import RaggedTable
    from mer.fusion.frames import FrameStore
    from mer.fusion.windows import read_tables
    from mer.search.candidates import search_view

    space = workspace()
    cached: dict[tuple[Any, ...], SearchView] = {}
    stores: dict[str, FrameStore] = {}

    def views(trial: Recipe) -> tuple[SearchView, ...]:
        reading = tuple((name, trial.streams[name].model_dump_json()) for name in trial.reads)
        for view, streams in folds.items():
            if (view, reading) in cached:
                continue
            examples, partition = load_view(space, View(dataset, view))
            rows = np.flatnonzero(partition.train | partition.validation)
            inputs = {name: replace(streams[name], stream=trial.streams[name]) for name in trial.reads}
            given = view_streams(space, inputs, trial.fusion.level, [examples.clip_ids[row] for row in rows])
            tables = read_tables(given, trial.fusion)
            # views that read the same states of a stream share its frames
            names = {
                item.table_name: frames_name(name, item.stream, item.learnt) for name, item in inputs.items()
            }
            framewise = {
                name: stores.setdefault(names[name], FrameStore())
                for name, table in tables.items()
                if isinstance(table, RaggedTable)
            }
            cached[view, reading] = search_view(examples, partition, tables, len(dataset.emotions), framewise)
        fold_views = tuple(cached[view, reading] for view in folds)
        while len(cached) > _CACHED_READINGS * len(folds):
            cached.pop(next(iter(cached)))
        return fold_views

    return views
