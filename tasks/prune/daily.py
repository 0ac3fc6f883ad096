"""The clean-up at a start: at most once a day and a few seconds, for homes that no deployment cleans."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from infra.catalogue import has_catalogue
from infra.settings import Settings
from infra.whole_files import write_whole
from tasks.prune.report import Cleanup
from tasks.prune.run import PruneAtWork, PrunePlan, prune
from tasks.stage.workspace import workspace

SECONDS = 5.0
"""Longest time at a start; what is left is for the next day's, or `mer prune`."""
_DAY = 86_400.0
_STAMP = "pruned"
"""File of the home whose time of change says when it was cleaned last."""


def prune_if_due(settings: Settings) -> Cleanup | None:
    """Clean the home up unless that was done within a day; None: it was, or there is nothing to do it in."""
    stamp = settings.home / _STAMP
    if not settings.retention_days or not has_catalogue(settings) or not is_due(stamp):
        return None
    try:
        cleanup = prune(workspace(), PrunePlan(days=settings.retention_days, seconds=SECONDS))
    except PruneAtWork:
        return None
    mark_done(settings)
    return cleanup


def mark_done(settings: Settings) -> None:
    """Note that the home was cleaned up now."""
    write_whole(settings.home / _STAMP, b"")


def is_due(stamp: Path) -> bool:
    """Whether the last clean-up is a day ago, or in the future (a clock that was set back)."""
    with contextlib.suppress(OSError):
        return abs(time.time() - stamp.stat().st_mtime) >= _DAY
    return True
