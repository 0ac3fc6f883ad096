"""One run at a time: a database lease with a fencing token, renewed while the flow runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from infra.catalogue import Lease
from infra.errors import LeaseHeld
from tasks.stage.workspace import workspace

LEASE_SECONDS = 30.0
PATIENCE_SECONDS = 45.0
"""Longer than a lease lives without its holder: a run that was killed does not keep the next one out."""


@contextmanager
def exclusively(name: str) -> Iterator[int]:
    """Hold the lease `name`; yields its fencing token, which a promotion must show.

    Raises:
        LeaseHeld: another run holds it, and went on renewing it while this one waited.
    """
    with ExitStack() as stack:
        yield _taken(stack, name).token


def _taken(stack: ExitStack, name: str) -> Lease:
    """The lease, held until the stack ends; a holder that may be dead is waited for, and so is whoever was faster then."""
    catalogue, deadline, warned = workspace().catalogue, time.monotonic() + PATIENCE_SECONDS, False
    while True:
        try:
            return stack.enter_context(catalogue.hold_lease(name, ttl_seconds=LEASE_SECONDS))
        except LeaseHeld as error:
            if time.monotonic() > deadline:
                raise
            if not warned:
                logging.getLogger(__name__).warning("%s: waiting, in case that run was killed", error)
                warned = True
            time.sleep(1)
