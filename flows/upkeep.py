"""What every start of a flow puts right before it begins: what dead processes left, and what could not be sent.

A step repairs one thing, is quick where there is nothing to repair, and never keeps a run from starting: what it could not do is
said in one line and tried again at the next start. `mer up` and every flow, on the command line or deployed, go through here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

from flows.asking import expire_approvals
from flows.catalogue_care import back_up_once_a_day, write_records
from flows.explained_errors import explained
from flows.supervision.dead_runs import Observer, Settling
from flows.supervision.earlier_runs import end_earlier_runs
from infra.catalogue import has_catalogue, open_catalogue
from infra.hidden_secrets import hidden
from infra.leftovers import sweep_home
from infra.settings import Settings, load_settings
from infra.tracking import Tracker
from tasks.serve.registry import mirror_registry
from tasks.stage.stage_record import settle_killed_stages
from tasks.stage.workspace import workspace

logger = logging.getLogger(__name__)


def _settle_killed_stages(settings: Settings) -> str | None:
    if not has_catalogue(settings):
        return None
    settled = settle_killed_stages(workspace())
    return f"recorded {settled} stages that were killed after their commit" if settled else None


def _send_what_waits(settings: Settings) -> str | None:
    sent = Tracker(settings).replay()
    return f"sent {sent} tracking events that waited for MLflow" if sent else None


def _end_dead_runs(settings: Settings) -> str | None:
    if not has_catalogue(settings):
        return None
    with open_catalogue(settings) as catalogue:
        rows = catalogue.run_processes()
        crashed = Settling(settings, catalogue).settle(Observer().dead(rows), rows)
    names = ", ".join(f"{row.flow} of process {row.process.number}" for row in crashed)
    return f"marked as crashed, since their processes are dead: {names}" if crashed else None


def _end_earlier_runs(settings: Settings) -> str | None:
    if settings.prefect_api_url is not None or (api := os.environ.get("PREFECT_API_URL")) is None:
        return None  # no server of our own, or none was started
    ended = end_earlier_runs(settings, api)
    return (
        f"marked {ended} runs of an earlier version as crashed: their processes cannot report any more"
        if ended
        else None
    )


def _expire_approvals(settings: Settings) -> str | None:
    return expire_approvals(workspace().catalogue) if has_catalogue(settings) else None


def _mirror_models(settings: Settings) -> str | None:
    if not has_catalogue(settings):
        return None
    done = mirror_registry(workspace())
    lines = [
        *([f"brought up to date: {', '.join(done.changed)}"] if done.changed else []),
        *(f"refused: {line}" for line in done.refused),
        *([f"not put right yet: {done.failed}"] if done.failed else []),
    ]
    return f"MLflow's registry: {'; '.join(lines)}" if lines else None


def _remove_what_nobody_uses(settings: Settings) -> str | None:
    from tasks.prune.daily import prune_if_due

    cleanup = prune_if_due(settings)
    if cleanup is None or not cleanup.total:
        return None
    rest = "" if cleanup.finished else "; `mer prune` removes the rest"
    return (
        f"removed {cleanup.total} things ({cleanup.total_bytes / 1e6:.1f} MB) that nobody used for "
        f"{settings.retention_days:g} days{rest}"
    )


def _sweep_leftovers(settings: Settings) -> str | None:
    removed = sweep_home(settings)
    return f"removed {removed} temporary files of writers that were killed" if removed else None


_STEPS: Mapping[str, Callable[[Settings], str | None]] = MappingProxyType(
    {
        "dead runs": _end_dead_runs,
        "runs of earlier versions": _end_earlier_runs,
        "stages killed after their commit": _settle_killed_stages,
        "approvals whose time is over": _expire_approvals,
        "what waits for MLflow": _send_what_waits,
        "MLflow's registry": _mirror_models,  # after the runs that its versions are linked to
        "records of the catalogue": write_records,
        "backup of the catalogue": back_up_once_a_day,
        "temporary files": _sweep_leftovers,
        "what nobody uses": _remove_what_nobody_uses,
    }
)
"""Name of what is repaired -> the repair, which gives a line if it did anything."""


def put_right(settings: Settings | None = None) -> list[str]:
    """Run every step; returns a line for each that repaired something, and one for each reason why some could not."""
    settings = settings or load_settings()
    lines: list[str] = []
    failed: dict[str, list[str]] = {}
    for name, step in _STEPS.items():
        try:
            line = step(settings)
        except Exception as error:
            if (said := explained(error)) is None:
                logger.exception("%s: could not be put right", name)
                said = hidden(f"{type(error).__name__}: {error}")
            failed.setdefault(said, []).append(name)
        else:
            if line is not None:
                lines.append(line)
    return [*lines, *(f"{', '.join(names)}: not put right yet: {said}" for said, names in failed.items())]
