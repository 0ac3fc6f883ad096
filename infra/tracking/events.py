"""What is recorded of a run, and as which event (JSON) it goes to the spool."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

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
    """Pictures and pages by file name; one in a folder (`report/report.html`) goes there, others to `figures`."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Further tags."""
    seconds: float = 0.0
    """How long it took."""
    status: Status | None = "FINISHED"
    """How it ended; None: it goes on."""


def stage_event(parent: str, idempotency_key: str, record: RunRecord) -> dict[str, Any]:
    """A stage as a finished run nested in the run `parent`, which ends now.

    Args:
        parent: name of the parent run, which must be unique (a flow run's).
        idempotency_key: the same key below the same parent is the same run.
        record: what the stage did.
    """
    return run_event(f"{parent}/{idempotency_key}", record, parent=parent)


def run_event(
    key: str, record: RunRecord, *, parent: str | None = None, dataset: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A run that is found again by its key. Sent twice, the event changes nothing: it holds the time at which it was made."""
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
