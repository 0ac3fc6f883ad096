"""A process that executes a run says so, lives visibly, and looks after the server it reports to."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from flows.supervision.server_watch import ServerWatch
from flows.supervision.supervisor import BEAT_SECONDS, ensure_supervisor, keep_supervisor
from infra.catalogue import Catalogue
from infra.catalogue.run_processes import executing_process
from infra.errors import InfraError
from infra.observing import observe
from infra.settings import Settings, load_settings

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often the server is looked at."""
_DEPLOYED = "PREFECT__FLOW_RUN_ID"
"""Where a worker says which flow run a process shall execute."""


class Presence:
    """The record of this process, and the thread that keeps it."""

    def __init__(self, settings: Settings, catalogue: Catalogue, flow_run: str | None = None) -> None:
        self._settings, self._catalogue = settings, catalogue
        server = os.environ["PREFECT_API_URL"]
        self._watch = ServerWatch(settings, server)
        self._done = threading.Event()
        self._key = catalogue.add_run_process(executing_process(), server, flow_run)
        self._thread = threading.Thread(target=self._keep, name="presence", daemon=True)
        self._thread.start()

    def executes(self, flow: str, flow_run: str) -> None:
        """Say which run of which flow it is; must be said before that is shown as running."""
        self._catalogue.set_flow_run(self._key, flow, flow_run)

    def ended(self) -> None:
        """The run has ended, and Prefect knows. Where the server was away meanwhile the supervisor looks it over."""
        self._done.set()
        self._thread.join(LOOK_SECONDS)
        if self._watch.was_away:
            self._catalogue.set_unrecorded(self._key)
        else:
            self._catalogue.remove_run_process(self._key)

    def _keep(self) -> None:
        looks = 0
        while not self._done.wait(LOOK_SECONDS):
            silent = self._watch.look()
            if silent >= self._settings.prefect_timeout_seconds and not self._done.is_set():
                end_process(self._watch.gone(silent))
            looks += 1
            if looks * LOOK_SECONDS >= BEAT_SECONDS:
                looks = 0
                try:
                    self._catalogue.beat_run_processes([self._key])
                    keep_supervisor(self._settings)
                except (InfraError, OSError) as error:
                    logger.warning("not kept yet: %s", error)


@contextmanager
def present() -> Iterator[Presence]:
    """Be recorded as a process that executes a flow run; a run that ends by an error is left for the supervisor to look over.

    Raises:
        CatalogueUnavailable, CatalogueError: the catalogue cannot be written.
    """
    from tasks.stage.workspace import workspace

    space = workspace()
    presence = Presence(space.settings, space.catalogue)
    yield presence
    presence.ended()


_deployed: Presence | None = None


def deployed_presence() -> Presence | None:
    """The record of a process that a worker started; None in others."""
    return _deployed


def is_deployed() -> bool:
    """True in a process that a worker started to execute a flow run."""
    return bool(os.environ.get(_DEPLOYED))


def present_if_deployed() -> None:
    """The same for a process that a worker started: called while its flow is loaded, before the run is shown as running."""
    global _deployed
    flow_run = os.environ.get(_DEPLOYED)
    if not flow_run or _deployed is not None or "PREFECT_API_URL" not in os.environ:
        return
    from tasks.stage.workspace import workspace

    try:
        space = workspace()
        observe(space.settings, "flow")
        ensure_supervisor(load_settings())
        _deployed = Presence(space.settings, space.catalogue, flow_run)
    except InfraError as error:  # the run itself says it where it matters
        logger.warning("this run is not watched over: %s", error)


def end_process(message: str) -> None:
    """End this process, whatever its threads do: as after a kill nothing is lost."""
    with suppress(Exception):
        sys.stdout.flush()
    sys.stderr.write(f"mer: {message}\n")
    sys.stderr.flush()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error, OSError):
            if os.getsid(child.pid) == os.getsid(0):  # not servers, which have sessions of their own
                child.kill()
    os._exit(1)
