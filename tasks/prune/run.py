"""The clean-up as a whole: what is not used any more is removed, in an order that can be broken off anywhere.

What refers goes before what is referred to: versions and generations before artifacts, artifacts before blobs, snapshots before
clips. A clean-up that was killed is finished by the next one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from infra.errors import InfraError
from infra.locking import locked_now
from tasks.learn.search_record import newest_records
from tasks.prune.artifacts import Name, sweep_artifacts
from tasks.prune.blobs import count_others, sweep_blobs
from tasks.prune.databases import shrink_databases
from tasks.prune.files import sweep_bucket_copies, sweep_copies, sweep_logs, sweep_work
from tasks.prune.mlflow_runs import sweep_tracked_runs
from tasks.prune.report import Cleanup, OutOfTime
from tasks.prune.window import Window, window
from tasks.report.run_results import KIND as FIGURES
from tasks.stage.stage_record import settle_killed_stages
from tasks.stage.workspace import Workspace

LOCK = "prune.lock"
EVALUATION = "evaluation"
"""Kind of an evaluation, and what the figures of a run call the key of theirs."""


class PruneAtWork(InfraError):
    """Another clean-up of this home is at work."""

    transient = True


@dataclass(frozen=True)
class PrunePlan:
    """What a clean-up does."""

    days: float
    """How long what is not used is kept."""
    dry_run: bool = False
    seconds: float | None = None
    """Longest time; None: until it is done."""
    flows: Sequence[str] = ()
    """Names of flows whose old runs are removed at the Prefect server; empty: none are."""
    shrink: bool = False
    """Write databases anew that are mostly empty, if nothing runs."""


def prune(space: Workspace, plan: PrunePlan) -> Cleanup:
    """Remove what is out of retention.

    Raises:
        PruneAtWork: another clean-up of this home is at work.
        CatalogueUnavailable, StoreUnavailable: a store does not answer; what was removed until then is, and the next one goes on.
    """
    deadline = None if plan.seconds is None else time.monotonic() + plan.seconds
    cleanup = Cleanup(plan.dry_run, deadline)
    with _alone(space), contextlib.suppress(OutOfTime):
        cleanup.finished = False
        if not plan.dry_run:
            settle_killed_stages(space)  # their folders are swept
        _sweep(space, plan, cleanup)
        cleanup.finished = True
    return cleanup


def _sweep(space: Workspace, plan: PrunePlan, cleanup: Cleanup) -> None:
    uses = space.catalogue.artifact_uses()
    old = window(space.settings, plan.days, uses)
    kept = _rows_that_refer(space, old, uses, cleanup)
    staying = sweep_artifacts(space, old, kept, cleanup)
    _rows_of_clips(space, cleanup)
    sweep_blobs(space, old, staying, cleanup)
    for sweep in (sweep_copies, sweep_bucket_copies, sweep_work):
        sweep(space, old, cleanup)
    sweep_logs(space.settings, old, cleanup)
    sweep_tracked_runs(space, old, cleanup)
    idle = True
    if plan.flows:
        idle = _flow_runs(plan, old, cleanup)
    if plan.shrink:
        shrink_databases(space, cleanup, idle=idle)
    if cleanup.deadline is None:
        count_others(space, cleanup)


def _rows_that_refer(
    space: Workspace, old: Window, uses: Mapping[Name, datetime], cleanup: Cleanup
) -> set[Name]:
    """Give up versions, generations and snapshots; returns the artifacts that those that stay refer to."""
    catalogue, dry_run = space.catalogue, cleanup.dry_run
    versions = space.settings.retention_versions
    cleanup.kind(
        "versions whose artifacts are given up",
        catalogue.retire_versions(versions, old.used_before, dry_run=dry_run),
    )
    kept = catalogue.referred_artifacts(versions, old.used_before)
    kept |= {  # what its run kept for the report of a version
        (record.ref.kind, record.ref.key)
        for record in catalogue.artifacts(FIGURES)
        if (EVALUATION, str(record.ref.meta.get(EVALUATION))) in kept
    }
    kept |= {(ref.kind, ref.key) for ref in newest_records(space)}  # reports show them
    used = {name for name, at in uses.items() if at >= old.used_before}
    cleanup.kind(
        "rejected generations",
        catalogue.remove_rejected_generations(old.used_before, used, dry_run=dry_run),
    )
    cleanup.kind("snapshots", catalogue.remove_snapshots(old.used_before, dry_run=dry_run))
    return kept


def _rows_of_clips(space: Workspace, cleanup: Cleanup) -> None:
    dry_run = cleanup.dry_run
    cleanup.check_time()
    cleanup.kind("clips without file", space.catalogue.remove_clips_without_file(dry_run=dry_run))
    cleanup.kind("rows of contents without clip", space.catalogue.remove_orphaned_contents(dry_run=dry_run))


def _flow_runs(plan: PrunePlan, old: Window, cleanup: Cleanup) -> bool:
    """Remove old flow runs; returns whether no flow is at work (without a server, whether one is, is seen by its stages)."""
    if "PREFECT_API_URL" not in os.environ:
        cleanup.notes.append(
            "flow runs are left: no Prefect server runs (it removes them by itself when it does)"
        )
        return True
    from tasks.prune.flow_runs import at_work, sweep_flow_runs  # Prefect takes two seconds to import

    sweep_flow_runs(plan.flows, old, cleanup)
    return not at_work()


@contextlib.contextmanager
def _alone(space: Workspace) -> Iterator[None]:
    """One clean-up of a home at a time; the lock dies with its holder. Those of several homes over one store do no harm."""
    with locked_now(space.settings.home / LOCK) as ours:
        if not ours:
            raise PruneAtWork(
                f"another clean-up of {space.settings.home} is at work: expected one at a time; wait until it is done"
            )
        yield
