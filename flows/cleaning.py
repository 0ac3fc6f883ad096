"""A clean-up by hand or on a schedule: what the settings and the caller say, as one plan (flows and command line share it)."""

from __future__ import annotations

from flows.deploying.definitions import FLOWS as DEPLOYED_FLOWS
from infra.errors import SettingsError
from infra.settings import load_settings
from tasks.prune.daily import mark_done
from tasks.prune.report import Cleanup
from tasks.prune.run import PrunePlan, prune
from tasks.stage.workspace import workspace

FLOWS = tuple(DEPLOYED_FLOWS)
"""Flows whose old runs are removed at the Prefect server, which may have those of others."""


def clean(older_than_days: float | None = None, *, dry_run: bool = False) -> Cleanup:
    """Remove what is out of retention, old flow runs and free pages of databases included.

    Args:
        older_than_days: how long what nobody uses is kept; None: as the settings say.
        dry_run: only count.

    Raises:
        SettingsError: retention is off, and no number of days is given.
    """
    settings = load_settings()
    days = older_than_days if older_than_days is not None else settings.retention_days
    if not days:
        raise SettingsError(
            "retention is off (MER_RETENTION_DAYS=0): expected a number of days, by that setting or `mer prune --older-than DAYS`"
        )
    cleanup = prune(workspace(), PrunePlan(days=days, dry_run=dry_run, flows=FLOWS, shrink=True))
    if not dry_run:
        mark_done(settings)
    return cleanup
