"""One run at a time: a database lease with a fencing token, renewed while the flow runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
    _wait_for_a_dead_holder(name)
    with workspace().catalogue.hold_lease(name, ttl_seconds=LEASE_SECONDS) as lease:
        yield lease.token


def _wait_for_a_dead_holder(name: str) -> None:
    catalogue, deadline, warned = workspace().catalogue, time.monotonic() + PATIENCE_SECONDS, False
    while True:
        try:
            catalogue.release_lease(catalogue.acquire_lease(name, ttl_seconds=LEASE_SECONDS))
        except LeaseHeld as error:
            if time.monotonic() > deadline:
                raise
            if not warned:
                logging.getLogger(__name__).warning("%s: waiting, in case that run was killed", error)
                warned = True
            time.sleep(1)
        else:
            return
