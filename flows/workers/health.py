"""Whether a worker of this machine (or container) beats: `python -m flows.workers.health`, exit code 0 or 1."""

from __future__ import annotations

import socket
import sys

from flows.workers.liveness import SILENT_SECONDS
from infra.catalogue import Catalogue, ProcessRole, open_catalogue
from infra.catalogue.utc_time import utc_now
from infra.errors import InfraError
from infra.settings import load_settings


def beats_here(catalogue: Catalogue) -> bool:
    """True if a worker of this host was heard of within `SILENT_SECONDS`."""
    return any(
        row.role is ProcessRole.WORKER
        and row.label.rpartition(":")[0] == socket.gethostname()
        and (utc_now() - row.seen_at).total_seconds() < SILENT_SECONDS
        for row in catalogue.task_processes()
    )


def main() -> int:
    """The exit code."""
    try:
        with open_catalogue(load_settings()) as catalogue:
            return 0 if beats_here(catalogue) else 1
    except InfraError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
