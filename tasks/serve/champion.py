"""What a service answers with: the champion of its model, looked up again and again, and changed in one step."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from infra.errors import InfraError
from infra.observing import INFO, WARNING, record
from mer.errors import MerError
from tasks.serve.library import AnsweringVersion, answering_version, model_named
from tasks.serve.served_model import ServedModel, load_served
from tasks.stage.workspace import Workspace

logger = logging.getLogger(__name__)

WATCH_SECONDS = 2.0
"""How often the catalogue is asked which version is champion."""


@dataclass(frozen=True)
class Readiness:
    """Whether there is something to answer with."""

    model: ServedModel | None
    remark: str
    """Why there is none, or what keeps the present champion out; empty: nothing."""


class ChampionWatch:
    """Holds the version that answers, and follows the catalogue.

    Who takes `current` keeps that version as long as it needs it: a request that was begun ends on the version it began with. A
    champion that cannot be loaded does not take the place of the one before it.

    Args:
        space: whose catalogue is followed.
        model: registered model; empty: the one that was promoted last.
        version: number of a version that is served whatever the catalogue says; None: the champion.
        on_change: called with what answers from now on.
        alone: this process does nothing else than answer.
    """

    def __init__(
        self,
        space: Workspace,
        model: str = "",
        version: int | None = None,
        on_change: Callable[[ServedModel], None] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self._space, self._model, self._version = space, model, version
        self._on_change = on_change or (lambda _: None)
        self._alone = alone
        self._current: ServedModel | None = None
        self._remark = "the model is being loaded"
        self._refused: tuple[str, int] | None = None
        self._stopped = threading.Event()
        self._looking = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> ServedModel | None:
        """What answers now; None: nothing yet."""
        return self._current

    @property
    def readiness(self) -> Readiness:
        """Whether there is something to answer with, and if not why."""
        return Readiness(self._current, self._remark)

    def look(self) -> bool:
        """Ask the catalogue, and load what is champion now; True where another version answers from now on."""
        with self._looking:
            try:
                chosen = self._chosen()
                if chosen is None:
                    return False
                loaded = load_served(self._space, chosen, self._current, alone=self._alone)
            except (MerError, InfraError, LookupError, OSError) as error:
                self._failed(error)
                return False
            self._current, self._remark, self._refused = loaded, loaded.remark, None
        record(INFO, "mer.service", f"{loaded.name} version {loaded.version} answers")
        self._on_change(loaded)
        return True

    def start(self) -> None:
        """Look again and again, in a thread."""
        self._thread = threading.Thread(target=self._watch, name="champion", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.is_set():
            try:
                self.look()
            except Exception:  # the service goes on with what it has
                logger.exception("the champion could not be looked up")
            self._stopped.wait(WATCH_SECONDS)

    def _chosen(self) -> AnsweringVersion | None:
        """The version to load; None: the present one is right, or the one that is not could not be loaded before."""
        name = model_named(self._space, self._model)
        chosen = answering_version(self._space, name, self._version)
        now = (chosen.row.name, chosen.row.version)
        if self._current is not None and now == (self._current.name, self._current.version):
            if chosen.gated != self._current.gated:  # promoted while it was served
                self._current = ServedModel(chosen.row, self._current.predictor, chosen.gated, chosen.remark)
            self._remark, self._refused = chosen.remark, None
            return None
        if now == self._refused:
            return None
        self._refused = now
        return chosen

    def _failed(self, error: Exception) -> None:
        said = str(error)
        if getattr(error, "transient", False):
            self._refused = None  # the same version is tried again
        if said != self._remark:
            record(WARNING, "mer.service", f"the champion cannot be served: {said}")
            logger.warning("the champion cannot be served: %s", said)
        self._remark = said
