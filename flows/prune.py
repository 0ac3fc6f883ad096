"""Clean-up on a schedule: what nobody used within the retention window is removed, and databases shrink while nothing runs."""

from __future__ import annotations

from prefect import flow, task
from pydantic import BaseModel, ConfigDict, Field

from flows.cleaning import clean
from tasks.prune.report import Cleanup


class PruneOptions(BaseModel):
    """What a clean-up does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    older_than_days: float | None = Field(
        default=None, ge=1, description="Days that unused things are kept; none: MER_RETENTION_DAYS."
    )
    dry_run: bool = Field(default=False, description="Only count.")


@flow(name="prune")
def prune(options: PruneOptions) -> list[str]:
    """Remove what is out of retention; returns a line for each kind of things."""
    return clean_up(options)


@task(name="clean up")
def clean_up(options: PruneOptions) -> list[str]:
    """One clean-up, as a task, so that it shows how long it took."""
    return lines_of(clean(options.older_than_days, dry_run=options.dry_run))


def lines_of(cleanup: Cleanup) -> list[str]:
    """What was removed, one line a kind."""
    return [f"{item.count} {item.kind}" for item in cleanup.removed if item.count]
