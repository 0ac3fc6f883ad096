"""One run at a time: a database lease with a fencing token, renewed while the flow runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.workspace import workspace

LEASE_SECONDS = 60.0


@contextmanager
def exclusively(name: str) -> Iterator[int]:
    """Hold the lease `name`; yields its fencing token, which a promotion must show.

    Raises:
        LeaseHeld: another run holds it.
    """
    with workspace().catalogue.hold_lease(name, ttl_seconds=LEASE_SECONDS) as lease:
        yield lease.token
