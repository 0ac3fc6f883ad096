"""Tracking: what a run did, and which model versions there are, in MLflow, without ever stopping the run.

Runs are events that are written to the spool and then sent. If MLflow does not answer, an event stays and is sent before the next
one, or by `replay`, with which every start begins. The model registry is no matter of events: it is derived from the
catalogue, see `infra.tracking.registry`. MLflow is imported only when something is sent (it takes seconds).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from infra.locking import locked_now
from infra.services.home_secrets import mlflow_credentials
from infra.settings import Settings
from infra.tracking.events import RunRecord, Status, run_event, stage_event
from infra.tracking.mlflow_rest import MlflowRest
from infra.tracking.mlflow_sink import MlflowSink
from infra.tracking.pages import experiment_page, run_page
from infra.tracking.registry import Mirrored, MirroredModel, Registry, RegistryModel, mirror
from infra.tracking.registry_rest import RestRegistry
from infra.tracking.server_address import server_address
from infra.tracking.spool import EventRefused, Refused, Spool, TrackingDown, Waiting

__all__ = ["RunRecord", "Tracker", "stage_event"]

EXPERIMENT = "mer"
_PAUSE = 10.0
"""A failed attempt to send is not repeated until this many times its duration: a silent server costs a run a tenth."""
_PROBE_SECONDS = 3.0
_LOADING_SECONDS = 5.0
"""What MLflow's client takes to be loaded."""


class Tracker:
    """Runs by name: a parent run for a flow run, stage runs below it."""

    def __init__(self, settings: Settings, experiment: str = EXPERIMENT) -> None:
        self._settings = settings
        self._experiment = experiment
        self._spool = Spool(settings.spool_folder)
        uri = settings.mlflow_tracking_uri.get_secret_value()
        self._sink = MlflowSink(uri, experiment, mlflow_credentials(settings, uri))
        self._next_attempt = 0.0

    def log_stage(self, *, parent: str, idempotency_key: str, record: RunRecord) -> None:
        """Record a stage as a finished run nested in the run `parent`, see `stage_event`."""
        self.record(stage_event(parent, idempotency_key, record))

    def log_run(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        figures: Mapping[str, bytes] | None = None,
        tags: Mapping[str, str] | None = None,
        dataset: tuple[str, str, int] | None = None,
        status: Status | None = None,
    ) -> None:
        """Add to the parent run `name` (created if need be); `status` ends it.

        `dataset`: name, membership hash and number of clips of the snapshot it was trained on.
        """
        described = None
        if dataset is not None:
            corpus, digest, clips = dataset
            described = {"name": corpus, "digest": digest, "profile": f'{{"clips": {clips}}}'}
        record = RunRecord(
            name=name,
            params=params or {},
            metrics=metrics or {},
            figures=figures or {},
            tags=tags or {},
            status=status,
        )
        if status is not None:
            self._next_attempt = 0.0  # the last event of a run: nothing sends what waits after it
        self.record(run_event(name, record, dataset=described))

    def record(self, event: Mapping[str, Any]) -> None:
        """Put an event of `infra.tracking.events` into the spool, and send what waits there if MLflow answers."""
        self._spool.add(event)
        started = time.monotonic()
        if started < self._next_attempt:
            return
        self._spool.drain(self._sink.send)
        if self._spool.waiting():
            self._next_attempt = time.monotonic() + _PAUSE * (time.monotonic() - started)

    def hold(self, event: Mapping[str, Any]) -> None:
        """Put an event into the spool for `replay`."""
        self._spool.add(event)

    def replay(self) -> int:
        """Send what an earlier process could not; returns how many events were sent."""
        return self._spool.drain(self._sink.send)

    def waiting(self) -> int:
        """Events not sent yet."""
        return self._spool.waiting()

    def backlog(self) -> Waiting | None:
        """What waits to be sent, since when and why; None: nothing."""
        return self._spool.backlog()

    def refused(self) -> list[Refused]:
        """Events that MLflow refused, which are kept."""
        return self._spool.refused()

    def retry_refused(self) -> int:
        """Let the next `replay` send refused events once more; returns how many."""
        return self._spool.retry_refused()

    def reachable(self) -> bool:
        """True if MLflow answers now."""
        return self._sink.reachable()

    def experiment_page(self) -> str | None:
        """Address of the experiment in MLflow's page; None: no server answers, or nothing was tracked yet."""
        return experiment_page(self._settings, self._experiment)

    def run_page(self, name: str) -> str | None:
        """Address of the parent run `name` in MLflow's page; None: no server answers, or it does not have it (yet)."""
        return run_page(self._settings, self._experiment, name)

    def mirror(self, models: Callable[[], Sequence[RegistryModel]], *, seconds: float = 120.0) -> Mirrored:
        """Make the model registry equal to the catalogue, after what waits was sent; what is equal costs two requests.

        Args:
            models: reads the catalogue; called again after changes, until it says nothing new.
            seconds: longest time to spend on it. Where it is short (below 5), a database without a server is left alone, since
                loading MLflow takes that long.
        """
        if not models():
            return Mirrored()
        deadline = time.monotonic() + seconds
        changed: list[str] = []
        try:
            if not self._sink.reachable(min(_PROBE_SECONDS, seconds)):
                raise TrackingDown("MLflow does not answer")
            if seconds >= _LOADING_SECONDS:
                self.replay()  # versions are linked to the runs that made them
            with self._mirroring(deadline), _understood():
                registry = self._registry(deadline)
                while True:
                    before = models()
                    done = mirror(registry, before)
                    changed += done.changed
                    if models() == before:
                        return Mirrored(changed, done.refused)
        except TrackingDown as error:
            return Mirrored(changed, (), str(error))
        except EventRefused as error:
            return Mirrored(changed, (str(error),))

    def mirrored(self, seconds: float = 1.0) -> dict[str, MirroredModel]:
        """The registry as it is, from a server alone. Raises TrackingDown or EventRefused."""
        address = server_address(self._settings)
        if address is None:
            raise TrackingDown("no MLflow server runs")
        with _understood():
            return self._at_server(address, seconds).read()

    def _registry(self, deadline: float) -> Registry:
        left = deadline - time.monotonic()
        if (address := server_address(self._settings)) is not None:
            return self._at_server(address, left)
        if left < _LOADING_SECONDS:
            raise TrackingDown("no MLflow server runs")
        from infra.tracking.registry_database import DatabaseRegistry

        return DatabaseRegistry(self._sink)

    def _at_server(self, address: str, seconds: float) -> RestRegistry:
        return RestRegistry(MlflowRest(address, seconds), self._experiment)

    @contextmanager
    def _mirroring(self, deadline: float) -> Iterator[None]:
        """One process of the home at a time."""
        folder = self._settings.spool_folder
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            with locked_now(folder / "registry.lock") as ours:
                if ours:
                    yield
                    return
            if time.monotonic() > deadline:
                raise TrackingDown("another process writes to the registry")
            time.sleep(0.05)


@contextmanager
def _understood() -> Iterator[None]:
    """Another program may listen where MLflow is expected: what it answers is no reason to stop."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise TrackingDown(
            f"expected answers of MLflow's, found others ({type(error).__name__}: {error})"
        ) from error
