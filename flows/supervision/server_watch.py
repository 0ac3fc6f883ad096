"""The Prefect server while a run goes on: a local one that died is started again; one that is gone is not waited for for ever."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from infra.errors import InfraError
from infra.observing import count_restart
from infra.prefect_api import PrefectApi
from infra.services import start
from infra.services.deaths import has_died, is_served_by, was_not_stopped, was_started
from infra.settings import Settings
from infra.shown_address import shown_address

logger = logging.getLogger(__name__)

HANGS_SECONDS = 30.0
"""A local server that lives and is silent for so long is handed to `start`, which replaces it unless it recovers."""
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 300.0
"""Pause after a start that failed, which doubles with each."""


class ServerWatch:
    """One server, looked at every few seconds."""

    def __init__(self, settings: Settings, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._url, self._clock = settings, url, clock
        self._api = PrefectApi(url)
        self._silent_since: float | None = None
        self._starting: threading.Thread | None = None
        self._pause, self._not_before = _PAUSE_SECONDS, -math.inf
        self.was_away = False
        """It did not answer at one time: what was sent to it then may be lost."""

    @property
    def is_local(self) -> bool:
        """True where the server is the home's own, which may be started again."""
        return is_served_by("prefect", self._url, self._settings)

    def look(self) -> float:
        """Ask the server, start a local one that died; returns for how many seconds it has not answered."""
        if self._api.answers():
            self._silent_since = None
            return 0.0
        now = self._clock()
        if self._silent_since is None:
            self._silent_since = now
        self.was_away = True
        silent = now - self._silent_since
        if self._may_start(now) and (has_died("prefect", self._settings) or silent > HANGS_SECONDS):
            self._starting = threading.Thread(target=self._start, name="start prefect", daemon=True)
            self._starting.start()
        return silent

    def gone(self, seconds: float) -> str:
        """What to say where it stayed away."""
        do = "`mer up` starts it" if self.is_local else "start it, or see that it is reached"
        return (
            f"the Prefect server at {shown_address(self._url)} has not answered for {seconds:.0f} s: {do}; the same command goes "
            "on where it stopped"
        )

    def _may_start(self, now: float) -> bool:
        """False for a server that is not ours, that was stopped (`mer down`), or that is being started, or just could not be."""
        if self._starting is not None and self._starting.is_alive():
            return False
        return self.is_local and now >= self._not_before and was_started("prefect", self._settings)

    def _start(self) -> None:
        try:
            if not was_not_stopped("prefect", self._settings):
                return
            address = start("prefect", self._settings)
        except (InfraError, OSError) as error:
            logger.warning("the Prefect server could not be started again: %s", str(error).splitlines()[0])
            self._not_before = self._clock() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        else:
            self._pause = _PAUSE_SECONDS
            logger.info("the Prefect server at %s was started again", address)
            count_restart("prefect")
