"""One background process a home and machine: it beats for the runs that live here, ends those that died, and restarts servers.

`mer down` stops it; it ends by itself where there is nothing left to watch over. Every run starts it, and again if it dies.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from flows.asking import expire_approvals
from flows.supervision.dead_runs import Observer, Settling, is_here
from flows.supervision.local_worker import WORKER, start_worker
from flows.supervision.server_watch import ServerWatch
from flows.supervision.task_workers import replace_dead, task_workers
from flows.watching.background import restart_dead_watches
from infra.catalogue import has_catalogue, open_catalogue
from infra.errors import InfraError
from infra.locking import is_locked, locked_now
from infra.observing import count_restart, observe
from infra.prefect_api import PrefectRefused
from infra.services import start, start_command
from infra.services.deaths import has_died, leader_has_died, was_not_stopped, was_started
from infra.settings import Settings, load_settings

logger = logging.getLogger(__name__)

NAME = "supervisor"
BEAT_SECONDS = 10.0
"""How often a process says that it lives."""
LOOK_SECONDS = 5.0
"""How often the dead are looked for."""
IDLE_SECONDS = 60.0
"""Without anything to watch over it goes on for so long."""
_KEPT = ("postgres", "s3", "mlflow", "metrics", "serve")
"""Servers beside Prefect's, which runs and the supervisor watch together (`server_watch`)."""


def ensure_supervisor(settings: Settings) -> None:
    """Start the home's supervisor in the background, unless it runs. Must be called where `PREFECT_API_URL` is set."""
    if not is_supervised(settings):
        environment = {"MER_HOME": str(settings.home), "PREFECT_API_URL": os.environ["PREFECT_API_URL"]}
        start_command(NAME, [sys.executable, "-m", "flows.supervision.supervisor"], environment, settings)


def is_supervised(settings: Settings) -> bool:
    """True while the supervisor runs."""
    return is_locked(_lock(settings))


def keep_supervisor(settings: Settings) -> None:
    """Start it again if it died; where it was stopped (`mer down`) it stays so."""
    if not is_supervised(settings) and was_not_stopped(NAME, settings):
        ensure_supervisor(settings)


def supervise(settings: Settings) -> None:
    """Watch until there is nothing to watch over; at once where another supervisor does it."""
    settings.services_folder.mkdir(parents=True, exist_ok=True)
    with locked_now(_lock(settings)) as ours:
        if ours:
            _Supervisor(settings, os.environ["PREFECT_API_URL"]).run()


class _Supervisor:
    def __init__(self, settings: Settings, url: str) -> None:
        self._settings = settings
        self._watch = ServerWatch(settings, url)
        self._observer = Observer()

    def run(self) -> None:
        last_busy = time.monotonic()
        said = ""
        while self._settings.services_folder.is_dir():
            try:
                if self._look():
                    last_busy = time.monotonic()
            except (InfraError, PrefectRefused, OSError) as error:
                if str(error) != said:  # once, not every few seconds for as long as it lasts
                    said = str(error)
                    logger.warning("not done yet: %s", said.partition("\n")[0])
            else:
                said = ""
            if time.monotonic() - last_busy > IDLE_SECONDS:
                return
            time.sleep(LOOK_SECONDS)

    def _look(self) -> bool:
        """Whether there was anything to watch over."""
        serves = self._watch.is_local and was_started("prefect", self._settings)
        works = was_started(WORKER, self._settings) or bool(task_workers(self._settings))
        self._keep_servers()
        if serves:
            self._watch.look()
        if works and has_died(WORKER, self._settings) and was_not_stopped(WORKER, self._settings):
            start_worker(self._settings)
            _say_restarted(WORKER)
        for name in replace_dead(self._settings):
            _say_restarted(name)
        watches = restart_dead_watches(self._settings)
        pages = any(was_started(name, self._settings) for name in ("metrics", "serve"))
        return self._look_at_runs() or serves or works or watches or pages

    def _keep_servers(self) -> None:
        """Start servers again that died: those that others keep their data in first."""
        for name in _KEPT:
            if leader_has_died(name, self._settings) and was_not_stopped(name, self._settings):
                start(name, self._settings)
                _say_restarted(name)

    def _look_at_runs(self) -> bool:
        if not has_catalogue(self._settings):
            return False
        with open_catalogue(self._settings) as catalogue:
            rows = catalogue.run_processes()
            dead = self._observer.dead(rows)
            keys = {row.key for row in dead}
            catalogue.beat_run_processes([row.key for row in rows if is_here(row) and row.key not in keys])
            if dead:
                Settling(self._settings, catalogue).settle(dead, rows)
            if (line := expire_approvals(catalogue)) is not None:
                logger.info(line)
        return bool(rows)


def _say_restarted(name: str) -> None:
    logger.info("%s was started again", name)
    count_restart(name)


def _lock(settings: Settings) -> Path:
    return settings.services_folder / f"{NAME}.running"


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("PREFECT__")]:
        del os.environ[
            name
        ]  # a run that started it says there which run it is: a worker that is started here is another
    settings = load_settings()
    text = logging.StreamHandler() if settings.log_format == "text" else logging.NullHandler()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", handlers=[text])
    observe(settings, NAME)
    supervise(settings)
