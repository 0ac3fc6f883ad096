"""The local servers of the home: where they are, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from flows.supervision.local_worker import WORKER
from infra.services import status as service_status
from infra.services.deaths import has_died, was_started
from infra.settings import Settings


def servers(settings: Settings) -> Iterator[str]:
    """A line for each that runs, and one for the worker where deployments have one."""
    for service in service_status(settings):
        if service.address:
            memory = service.memory_bytes / 2**20
            processes = "1 process" if service.processes == 1 else f"{service.processes} processes"
            yield f"  {service.name}: {escape(service.address)} ({processes}, {memory:.0f} MiB)"
    if was_started(WORKER, settings):
        if has_died(WORKER, settings):
            yield "  worker of the deployments: died; `mer deploy` starts it again"
        else:
            yield "  worker of the deployments: runs (`mer deploy` started it)"
