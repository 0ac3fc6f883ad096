"""Hyperparameter studies: Optuna over a database, so that several workers share one and a killed one's trials are tried again.

Optuna sends heartbeats only from `Study.optimize`, one trial at a time. Trials that are trained together are asked for in
batches instead: `claim` takes trials up to the planned number, `alive` beats for all of them, `finish` tells their values once.
"""

from __future__ import annotations

import shlex
import threading
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from infra.catalogue.database import parse_url
from infra.settings import Settings
from infra.shown_address import shown_address
from infra.sqlite_url import sqlite_file

MAX_RETRIES = 3
SURPLUS = "surplus"
DEFAULTS = "defaults"
"""Marks the trial of the defaults, and its retries."""
_ALIVE, _TERMS = "alive", "terms"
_SILENT_BEATS = 3
"""A trial that has not begun to beat after so many intervals never will."""
Sampler = Literal["tpe", "gp", "nsga2"]


@dataclass(frozen=True)
class Heartbeats:
    """Signs of life of running trials."""

    interval_seconds: int = 30
    grace_seconds: int = 90
    """Silence after which a trial counts as dead and is queued again, at most `MAX_RETRIES` times."""


HEARTBEATS = Heartbeats()


@dataclass(frozen=True)
class Halving:
    """Asynchronous successive halving: when trials are given up early."""

    first_rung: int
    """Epochs after which trials are first given up."""
    reduction: int = 3
    """At a rung the best 1 / `reduction` so far go on, and the next rung is that many times as late."""


def open_study(
    settings: Settings,
    name: str,
    *,
    seed: int | None = None,
    defaults: Mapping[str, Any] | None = None,
    heartbeats: Heartbeats = HEARTBEATS,
    sampler: Sampler = "tpe",
    halving: Halving | None = None,
) -> Any:
    """Open or create the study `name`, which maximises; returns an `optuna.Study`, whose `optimize()` sends heartbeats.

    Args:
        settings: whose `optuna_storage_url` holds the study.
        name: the same name is the same study.
        seed: of the sampler; None: not reproducible. Workers of one study need different ones.
        defaults: parameters tried first when the study is new.
        heartbeats: signs of life of running trials.
        sampler: how new trials are chosen.
        halving: when trials are given up early; None: never.
    """
    import optuna
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # whoever searches says what is found
    url = parse_url(settings.optuna_storage_url.get_secret_value())
    if (file := sqlite_file(url)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=_experimental())  # heartbeats: known, and tested here
        storage = RDBStorage(
            url.render_as_string(hide_password=False),
            heartbeat_interval=heartbeats.interval_seconds,
            grace_period=heartbeats.grace_seconds,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES),
        )
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize",
        sampler=_sampler(sampler, seed),
        pruner=optuna.pruners.NopPruner()
        if halving is None
        else optuna.pruners.SuccessiveHalvingPruner(
            min_resource=halving.first_rung, reduction_factor=halving.reduction
        ),
        load_if_exists=True,
    )
    weakref.finalize(study, storage.engine.dispose)  # Optuna itself never closes its connections
    if defaults and not study.get_trials(deepcopy=False):
        study.enqueue_trial(dict(defaults), user_attrs={DEFAULTS: True}, skip_if_exists=True)
    return study


def dashboard_command(settings: Settings) -> str:
    """Command that opens Optuna's dashboard on this installation's studies; a password in the address is masked."""
    url = parse_url(settings.optuna_storage_url.get_secret_value())
    return f"optuna-dashboard {shlex.quote(shown_address(url.render_as_string(hide_password=False)))}"


def settle_terms(study: Any, terms: str) -> str:
    """What the trials of `study` have in common, as text: `terms` for a study without trials, else what was settled then.

    Empty where trials began before anything was settled.
    """
    if _TERMS not in study.user_attrs:
        begun = [trial for trial in study.get_trials(deepcopy=False) if trial.state != _states().WAITING]
        study.set_user_attr(_TERMS, "" if begun else terms)
    return str(study.user_attrs[_TERMS])


def claim(study: Any, planned: int, most: int) -> list[Any]:
    """Take up to `most` trials, so that the study has `planned` in the end however many workers take some.

    Trials of dead workers are queued again first and come before new ones. A retry is not counted beside the trial it
    repeats. Trials have numbers without gaps given by the database, so of two workers that take the last place at once,
    the one with the higher number finds the places taken and withdraws: that trial fails, marked `SURPLUS`, untrained.
    """
    retry_dead(study)
    trials: list[Any] = []
    while len(trials) < most and _taken(study) < planned:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Heartbeat of storage")  # `alive` sends them
            trial = study.ask()
        _beat(study, trial)
        if _taken(study, below=trial.number) >= planned:
            trial.set_user_attr(SURPLUS, True)
            study.tell(trial, state=_states().FAIL, skip_if_finished=True)
            break
        trials.append(trial)
    return trials


def seed_draws(trial: Any, sampler: Sampler, seed: int) -> None:
    """Let what `trial` suggests from now on depend on `seed` and its number; call before its first suggestion.

    Workers then differ, and a resumed study does not repeat itself.
    """
    trial.study.sampler = _sampler(sampler, seed + trial.number)


@contextmanager
def alive(study: Any, trials: Sequence[Any]) -> Iterator[None]:
    """Send heartbeats of all `trials` that still run, from a thread, while the block runs."""
    storage, stop = study._storage, threading.Event()

    def beat() -> None:
        while not stop.wait(storage.get_heartbeat_interval()):
            for trial in trials:
                if storage.get_trial(trial._trial_id).state == _states().RUNNING:
                    storage.record_heartbeat(trial._trial_id)

    thread = threading.Thread(target=beat, name="heartbeats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def finish(study: Any, trial: Any, value: float | None, *, pruned: bool = False) -> bool:
    """Give a trial its value (None: it failed); False where it had been given up as dead meanwhile, and so does not count."""
    before = study._storage.get_trial(trial._trial_id).state
    if before.is_finished():
        return False
    if value is None:
        study.tell(trial, state=_states().FAIL, skip_if_finished=True)
    elif pruned:  # Optuna keeps the last reported value of a pruned trial
        study.tell(trial, state=_states().PRUNED, skip_if_finished=True)
    else:
        study.tell(trial, value, skip_if_finished=True)
    return True


def retry_dead(study: Any) -> None:
    """Queue the trials of workers that have fallen silent, at most `MAX_RETRIES` times each."""
    from optuna.storages import fail_stale_trials

    storage = study._storage
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=_experimental())
        # killed between taking a trial and its first heartbeat: Optuna would never call it stale
        oldest = datetime.now() - timedelta(seconds=_SILENT_BEATS * storage.get_heartbeat_interval())
        for trial in study.get_trials(deepcopy=False, states=(_states().RUNNING,)):
            if trial.user_attrs.get(_ALIVE) != trial.number and trial.datetime_start < oldest:
                storage.record_heartbeat(trial._trial_id)  # silent from now on
                storage.set_trial_user_attr(trial._trial_id, _ALIVE, trial.number)
        fail_stale_trials(study)


def finished_trials(study: Any) -> list[Any]:
    """Trials that count: complete or pruned. A killed worker's trial is counted as its retry only."""
    return list(study.get_trials(deepcopy=False, states=(_states().COMPLETE, _states().PRUNED)))


def _taken(study: Any, below: int | None = None) -> int:
    """Trials that count or are on their way to count; queued ones are on their way only if a number bounds the question."""
    counting = [_states().COMPLETE, _states().PRUNED, _states().RUNNING]
    if below is not None:
        counting.append(_states().WAITING)
    trials = study.get_trials(deepcopy=False, states=tuple(counting))
    return sum(below is None or trial.number < below for trial in trials)


def _beat(study: Any, trial: Any) -> None:
    study._storage.record_heartbeat(trial._trial_id)
    trial.set_user_attr(_ALIVE, trial.number)


def _sampler(name: Sampler, seed: int | None) -> Any:
    from optuna import samplers

    if name == "gp":
        return samplers.GPSampler(seed=seed)
    if name == "nsga2":
        return samplers.NSGAIISampler(seed=seed)
    # several workers: pretend that running trials are bad, so that not all look at the same place
    return samplers.TPESampler(seed=seed, constant_liar=True)


def _states() -> Any:
    from optuna.trial import TrialState

    return TrialState


def _experimental() -> type[Warning]:
    from optuna.exceptions import ExperimentalWarning

    warning: type[Warning] = ExperimentalWarning
    return warning
