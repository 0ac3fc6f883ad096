"""One run at a time: a database lease with a fencing token, renewed while the flow runs."""

from __future__ import annotations

import threading
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
    catalogue = workspace().catalogue
    lease = catalogue.acquire_lease(name, ttl_seconds=LEASE_SECONDS)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(LEASE_SECONDS / 4):
            catalogue.renew_lease(lease, ttl_seconds=LEASE_SECONDS)

    keeper = threading.Thread(target=renew, name=f"lease {name}", daemon=True)
    keeper.start()
    try:
        yield lease.token
    finally:
        stop.set()
        keeper.join()
        catalogue.release_lease(lease)
