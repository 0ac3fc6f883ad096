"""What this process counts, added to the catalogue's totals now and then, by a thread of its own: no count waits for a database.

A process that is killed loses what it counted since the last time, a few seconds' worth. What cannot be written is kept for the
next time.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import suppress

from infra.catalogue import Catalogue, has_catalogue, open_catalogue
from infra.catalogue.metric_totals import Series, labels_text
from infra.errors import InfraError
from infra.settings import Settings

EVERY_SECONDS = 10.0
"""Time between two writes."""
PATIENCE_SECONDS = 2.0
"""Longest wait for a catalogue that is locked: also what the end of a process may be late by."""


class Totals:
    """Counts of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._added: dict[Series, float] = {}
        self._latest: dict[Series, float] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._catalogue: Catalogue | None = None
        self._pid = os.getpid()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, series: Series, value: float) -> None:
        """Count `value` more."""
        with self._lock:
            self._added[series] = self._added.get(series, 0.0) + value
            self._keep_writing()

    def put(self, series: Series, value: float) -> None:
        """The value is this now."""
        with self._lock:
            self._latest[series] = value
            self._keep_writing()

    def flush(self) -> bool:
        """Write what was counted; False: it is kept for the next time."""
        if os.getpid() != self._pid:
            return False  # a copy of the process that counted, which writes it itself
        with self._writing:
            with self._lock:
                added, latest = self._added, self._latest
                self._added, self._latest = {}, {}
            if not added and not latest:
                return True
            try:
                if not has_catalogue(self._settings):
                    raise InfraError("there is no catalogue yet")
                if self._catalogue is None:
                    self._catalogue = open_catalogue(self._settings, PATIENCE_SECONDS)
                self._catalogue.add_totals(added, latest)
            except Exception:  # whatever it is, a run goes on without
                with self._lock:
                    for series, value in added.items():
                        self._added[series] = self._added.get(series, 0.0) + value
                    self._latest = {**latest, **self._latest}
                return False
            return True

    def end(self) -> None:
        """Write what is left, and give the catalogue back."""
        self._ended.set()
        self.flush()
        if self._catalogue is not None and os.getpid() == self._pid:
            with suppress(Exception):
                self._catalogue.close()
            self._catalogue = None

    def _keep_writing(self) -> None:
        """Start the thread with the first count: most processes count nothing."""
        if self._thread is None and os.getpid() == self._pid:
            self._thread = threading.Thread(target=self._write, name="totals", daemon=True)
            self._thread.start()

    def _write(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self.flush()


_totals: Totals | None = None


def begin_counting(settings: Settings) -> None:
    """Count what this process does in the catalogue of these settings."""
    global _totals
    if _totals is None:
        atexit.register(_end)
    else:
        _totals.end()
    _totals = Totals(settings)


def count(name: str, value: float = 1.0, **labels: str) -> None:
    """Add to a total; nothing where this process is not observed."""
    if _totals is not None:
        _totals.add((name, labels_text(labels)), value)


def count_restart(service: str) -> None:
    """Count that a service of the home, which had died, was started again."""
    count("mer_restarts_total", service=service)


def set_latest(name: str, value: float, **labels: str) -> None:
    """Set a number of which only the last value counts."""
    if _totals is not None:
        _totals.put((name, labels_text(labels)), value)


def flush_totals() -> None:
    """Write what was counted now."""
    if _totals is not None:
        _totals.flush()


def _end() -> None:
    if _totals is not None:
        _totals.end()
