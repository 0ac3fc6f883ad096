"""What the page of metrics shows, gathered: the catalogue's totals and counts, the home's services and disk.

What costs more than a moment (counting the rows of clips) is kept for as long as it took a hundred times, at least
`KEPT_SECONDS`. A part that cannot be read is left out and named; a catalogue that hangs costs `PATIENCE_SECONDS`.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

from infra.catalogue import Catalogue, ProcessRole, has_catalogue, open_catalogue
from infra.catalogue.utc_time import utc_now
from infra.metrics.names import COUNTED, LATEST
from infra.services.deaths import leader_has_died, was_started
from infra.settings import Settings

KEPT_SECONDS = 60.0
PATIENCE_SECONDS = 2.0
SILENT_SECONDS = 30.0
"""A worker that was not heard of for so long is not counted."""


@dataclass(frozen=True)
class Sample:
    """One number."""

    name: str
    labels: tuple[str, ...]
    """Values of the metric's labels, in their order."""
    value: float


class Gatherer:
    """Gathers all samples of a home; keeps its connection and slow counts between two calls. Safe among threads."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._catalogue: Catalogue | None = None
        self._slow: list[Sample] = []
        self._slow_until = float("-inf")
        self._lock = threading.Lock()

    def samples(self) -> list[Sample]:
        """All that can be read now."""
        with self._lock:
            began = self._clock()
            found: list[Sample] = []
            for part, read in (("catalogue", self._of_catalogue), ("home", self._of_home)):
                failed = 0.0
                try:
                    found += list(read())
                except (
                    Exception
                ):  # whatever a store or disk answers: the page says that it failed, and goes on
                    failed = 1.0
                found.append(Sample("mer_scrape_failed", (part,), failed))
            found.append(Sample("mer_info", (_version(),), 1.0))
            found.append(Sample("mer_scrape_seconds", (), self._clock() - began))
            return found

    def close(self) -> None:
        """Give the connection back."""
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None

    def _of_catalogue(self) -> Iterator[Sample]:
        if not has_catalogue(self._settings):
            return
        if self._catalogue is None:
            self._catalogue = open_catalogue(self._settings, PATIENCE_SECONDS)
        catalogue = self._catalogue
        for row in catalogue.totals():
            if (metric := COUNTED.get(row.name) or LATEST.get(row.name)) is not None:
                values = tuple(row.labels.get(label, "") for label in metric.labels)
                yield Sample(row.name, values, row.value)
        yield from _queue(catalogue)
        runs = Counter(row.flow or "unknown" for row in catalogue.run_processes())
        yield from (Sample("mer_runs_at_work", (flow,), count) for flow, count in sorted(runs.items()))
        for champion in catalogue.champions_since():
            since = champion.since.timestamp()
            yield Sample(
                "mer_champion_since_timestamp_seconds", (champion.model, str(champion.version)), since
            )
        waiting = Counter(row.name for row in catalogue.approvals_waiting())
        yield from (
            Sample("mer_approvals_waiting", (model,), count) for model, count in sorted(waiting.items())
        )
        for last in catalogue.last_generations():
            at = last.created_at.timestamp()
            yield Sample("mer_last_generation_timestamp_seconds", (last.corpus, last.state), at)
        yield from self._slow_counts(catalogue)

    def _slow_counts(self, catalogue: Catalogue) -> list[Sample]:
        began = self._clock()
        if began >= self._slow_until:
            clips, aside = catalogue.clip_counts(), catalogue.quarantine_counts()
            self._slow = [Sample("mer_clips", (corpus,), count) for corpus, count in sorted(clips.items())]
            self._slow += [
                Sample("mer_clips_quarantined", name, count) for name, count in sorted(aside.items())
            ]
            now = self._clock()
            self._slow_until = now + max(KEPT_SECONDS, 100 * (now - began))
        return self._slow

    def _of_home(self) -> Iterator[Sample]:
        settings = self._settings
        yield Sample("mer_disk_free_bytes", (), shutil.disk_usage(settings.home).free)
        waiting = sum(1 for _ in settings.spool_folder.glob("*.json"))
        yield Sample("mer_tracking_events_waiting", (), waiting)
        for name in sorted(path.stem for path in settings.services_folder.glob("*.json")):
            if was_started(name, settings):
                yield Sample("mer_service_up", (name,), 0.0 if leader_has_died(name, settings) else 1.0)


def _version() -> str:
    try:
        return metadata.version("mer-pipeline")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def _queue(catalogue: Catalogue) -> Iterator[Sample]:
    for task in catalogue.task_counts():
        labels = (task.pool, task.name.rpartition(".")[2].replace("_", " "))
        yield Sample("mer_tasks_waiting", labels, task.waiting)
        yield Sample("mer_tasks_leased", labels, task.leased)
    now = utc_now()
    alive: Counter[tuple[str, str]] = Counter()
    for row in catalogue.task_processes():
        if row.role is ProcessRole.WORKER and (now - row.seen_at).total_seconds() < SILENT_SECONDS:
            alive.update((pool, row.device or "unknown") for pool in row.pools)
    yield from (Sample("mer_workers", labels, count) for labels, count in sorted(alive.items()))
