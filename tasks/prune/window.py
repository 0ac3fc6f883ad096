"""Which time is long enough ago: counted back from the last use on record, not from what the clock says now.

A home that rests for months loses nothing when it is used again, and a clock that jumped forward, or back, makes nothing old.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from infra.catalogue.uses import STAMPED_EVERY
from infra.settings import Settings
from tasks.stage.work_folder import in_use, work_folders
from tasks.stage.work_record import read_record

ACTIVE_DAYS = 3
"""What was used on one of the last days with any use stays, whatever their dates: a clock's jump makes one day, not three."""
LONGEST_RUN = timedelta(days=7)
"""While a stage is at work, what its run may have looked up before it stays."""


@dataclass(frozen=True)
class Window:
    """Two moments: who was used, and what was written, before them may go."""

    used_before: datetime
    """Artifacts, versions, snapshots, runs and logs of before this are out of retention."""
    written_before: float
    """Files and objects written after this (seconds since the epoch) are never removed: somebody may be at it."""

    @property
    def seconds(self) -> float:
        """`used_before` in seconds since the epoch."""
        return self.used_before.timestamp()


def window(settings: Settings, days: float, uses: Mapping[tuple[str, str], datetime]) -> Window:
    """The window of a home.

    Args:
        settings: of the home.
        days: how long what is not used is kept.
        uses: last use of every artifact.
    """
    now = datetime.now(UTC)
    reference = min(now, max(uses.values(), default=now))
    moments = [
        reference - timedelta(days=days) - STAMPED_EVERY,
        _begin_of_active_day(uses.values(), now),
        *(datetime.fromtimestamp(start, UTC) - LONGEST_RUN for start in _starts_of_running(settings)),
    ]
    grace = timedelta(hours=settings.retention_grace_hours)
    return Window(used_before=min(moments), written_before=(reference - grace).timestamp())


def _begin_of_active_day(uses: Iterable[datetime], now: datetime) -> datetime:
    days = sorted({use.date() for use in uses if use <= now + STAMPED_EVERY}, reverse=True)
    if len(days) < ACTIVE_DAYS:
        return datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
    return datetime.combine(days[ACTIVE_DAYS - 1], datetime.min.time(), UTC)


def _starts_of_running(settings: Settings) -> Iterable[float]:
    for folder in work_folders(settings.checkpoint_folder):
        if in_use(folder):
            record = read_record(folder)
            yield record.started if record is not None else time.time()
