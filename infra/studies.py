"""Hyperparameter studies: Optuna over a database, so that several workers share one and a killed one's trial is tried again."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from infra.catalogue.database import parse_url
from infra.settings import Settings

HEARTBEAT_SECONDS = 30
GRACE_SECONDS = 90
"""A running trial without a heartbeat for so long is dead."""
MAX_RETRIES = 3


def open_study(
    settings: Settings,
    name: str,
    *,
    direction: Literal["maximize", "minimize"] = "maximize",
    seed: int | None = None,
    defaults: Mapping[str, Any] | None = None,
    heartbeat_seconds: int = HEARTBEAT_SECONDS,
    grace_seconds: int = GRACE_SECONDS,
) -> Any:
    """Open or create the study `name`; returns an `optuna.Study`, whose `optimize()` sends heartbeats.

    Args:
        settings: whose `optuna_storage_url` holds the study.
        name: the same name is the same study.
        direction: of the objective.
        seed: of the sampler (TPE, multivariate); None: not reproducible.
        defaults: parameters tried first when the study is new.
        heartbeat_seconds: interval of signs of life of a running trial.
        grace_seconds: silence after which a trial counts as dead and is queued again, at most three times.
    """
    import optuna
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

    url = parse_url(settings.optuna_storage_url.get_secret_value())
    if url.drivername == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    storage = RDBStorage(
        url.render_as_string(hide_password=False),
        heartbeat_interval=heartbeat_seconds,
        grace_period=grace_seconds,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES),
    )
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction=direction,
        sampler=optuna.samplers.TPESampler(seed=seed),
        load_if_exists=True,
    )
    weakref.finalize(study, storage.engine.dispose)  # Optuna itself never closes its connections
    if defaults and not study.get_trials(deepcopy=False):
        study.enqueue_trial(dict(defaults), skip_if_exists=True)
    return study
