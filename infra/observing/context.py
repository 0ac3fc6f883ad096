"""What is at work here: run, stage, shard, clip; set where runs, stages and tasks are begun, read by whatever logs inside.

Context variables: a thread that Prefect starts for a task has a copy of its flow's. To a worker, another process, they travel as
text with the task (`context_text`, `context_of`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

FIELDS = (
    "flow",
    "flow_run",
    "flow_run_name",
    "tracked_run",
    "task",
    "pool",
    "stage",
    "label",
    "shard",
    "clip",
    "worker",
)
"""In the order in which an event has them.

`flow_run`, `flow_run_name`: the flow run's id and name at Prefect. `tracked_run`: its name in MLflow. `stage`: a stage's kind;
`label`: what it is for (a view, a stream). `shard`: key of a shard of features. `worker`: HOST:PROCESS of a task worker.
"""
OF_A_RUN = ("flow", "flow_run", "flow_run_name", "tracked_run")
"""What travels with a task."""
_LONGEST = 200

_context: ContextVar[Mapping[str, str]] = ContextVar("_context", default=MappingProxyType({}))  # read-only


def context() -> Mapping[str, str]:
    """What is known here."""
    return _context.get()


@contextmanager
def logged(**fields: str | None) -> Iterator[None]:
    """Know these of `FIELDS` inside the block; None: no change."""
    before = _context.set({**_context.get(), **_checked(fields)})
    try:
        yield
    finally:
        _context.reset(before)


def context_text() -> str | None:
    """The run that is at work here, for whom it hands a task to; None: none is."""
    known = {name: value for name, value in context().items() if name in OF_A_RUN}
    return json.dumps(known) if known else None


def context_of(text: str | None) -> dict[str, str]:
    """The fields in such a text; what is no such text says nothing."""
    try:
        known = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(known, dict):
        return {}
    return {name: str(value) for name, value in known.items() if name in OF_A_RUN}


def _checked(fields: Mapping[str, str | None]) -> dict[str, str]:
    if unknown := fields.keys() - set(FIELDS):
        raise ValueError(
            f"expected fields of events among {', '.join(FIELDS)}, found {', '.join(sorted(unknown))}"
        )
    return {name: value[:_LONGEST] for name, value in fields.items() if value is not None}
