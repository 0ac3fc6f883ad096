"""The local servers of the home: where they are, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from infra.services import status as service_status
from infra.settings import Settings


def servers(settings: Settings) -> Iterator[str]:
    """A line for each that runs."""
    for service in service_status(settings):
        if service.address:
            memory = service.memory_bytes / 2**20
            yield f"  {service.name}: {escape(service.address)} ({service.processes} processes, {memory:.0f} MiB)"
