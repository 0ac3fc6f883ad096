"""Tracking: what a run did, in MLflow, without ever stopping the run.

Every record is an event that is written to the spool and then sent. If MLflow does not answer, the event
stays and is sent before the next one, or by `replay` (`mer up`). MLflow is imported only when
something is sent (it takes seconds).
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from infra.artifacts import ArtifactRef, manifest_uri
from infra.services.home_secrets import mlflow_credentials
from infra.settings import Settings
from infra.tracking.mlflow_sink import MlflowSink
from infra.tracking.spool import Spool

__all__ = ["RunRecord", "Tracker"]

EXPERIMENT = "mer"
Status = Literal["FINISHED", "FAILED"]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run did, for people who look at it in MLflow."""

    name: str
    """Shown name."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Configuration."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Final figures; NaN and infinities are left out."""
    history: Sequence[Mapping[str, float]] = ()
    """Figures by epoch; the step is `epoch` where given, else the position."""
    figures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG images by file name."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Further tags."""
    seconds: float = 0.0
    """How long it took."""
    status: Status | None = "FINISHED"
    """How it ended; None: it goes on."""


class Tracker:
    """Runs by name: a parent run for a flow run, stage runs below it."""

    def __init__(self, settings: Settings, experiment: str = EXPERIMENT) -> None:
        self._spool = Spool(settings.spool_folder)
        uri = settings.mlflow_tracking_uri.get_secret_value()
        self._sink = MlflowSink(uri, experiment, mlflow_credentials(settings, uri))
        self._store_url = settings.object_store_url

    def log_stage(
        self,
        *,
        parent: str,
        idempotency_key: str,
        record: RunRecord,
    ) -> None:
        """Record a stage as a finished run nested in the run `parent`.

        Args:
            parent: name of the parent run, which must be unique (a flow run's).
            idempotency_key: the same key below the same parent is the same run.
            record: what the stage did.
        """
        self._record(_run_event(f"{parent}/{idempotency_key}", record, parent=parent))

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
        self._record(_run_event(name, record, dataset=described))

    def register_version(
        self, name: str, version: int, ref: ArtifactRef, *, parent: str | None, metrics: Mapping[str, float]
    ) -> None:
        """Mirror a version of the catalogue in MLflow's registry: address and sha256, no weights."""
        self._record(
            {
                "type": "model_version",
                "name": name,
                "version": version,
                "kind": ref.kind,
                "artifact_key": ref.key,
                "uri": manifest_uri(self._store_url, ref),
                "sha256": ref.sha256,
                "run": parent,
                "metrics": {key: value for key, value in metrics.items() if math.isfinite(value)},
            }
        )

    def set_alias(self, name: str, alias: str, version: int, *, order: int) -> None:
        """Mirror an alias of the catalogue; `order` (id of its audit row) keeps a late replay harmless."""
        self._record({"type": "alias", "name": name, "alias": alias, "version": version, "order": order})

    def replay(self) -> int:
        """Send what an earlier process could not; returns how many events were sent."""
        return self._spool.drain(self._sink.send)

    def waiting(self) -> int:
        """Events not sent yet."""
        return self._spool.waiting()

    def reachable(self) -> bool:
        """True if MLflow answers now."""
        return self._sink.reachable()

    def _record(self, event: Mapping[str, Any]) -> None:
        self._spool.add(event)
        self._spool.drain(self._sink.send)


def _run_event(
    key: str, record: RunRecord, *, parent: str | None = None, dataset: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    now_ms = time.time_ns() // 1_000_000
    return {
        "type": "run",
        "key": key,
        "name": record.name,
        "parent": parent,
        "start_ms": now_ms - int(record.seconds * 1000),
        "end_ms": now_ms,
        "metrics": _points(record.metrics, record.history),
        "params": {name: str(value) for name, value in record.params.items()},
        "figures": {
            name: base64.b64encode(content).decode("ascii") for name, content in record.figures.items()
        },
        "tags": {name: str(value) for name, value in record.tags.items()},
        "dataset": dataset,
        "status": record.status,
    }


def _points(
    metrics: Mapping[str, float], history: Sequence[Mapping[str, float]]
) -> list[tuple[str, float, int]]:
    """(name, value, step) of every finite figure."""
    points = [(name, float(value), 0) for name, value in metrics.items()]
    for position, entry in enumerate(history):
        step = int(entry.get("epoch", position))
        points += [(name, float(value), step) for name, value in entry.items() if name != "epoch"]
    return [point for point in points if math.isfinite(point[1])]
