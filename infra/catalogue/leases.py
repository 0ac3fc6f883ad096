"""Leases: who may write. Each new holder gets a higher fencing token; a write under an older one is refused.

A lease alone does not stop a holder that was paused past its end: so whoever writes what is to be protected
takes the token along, and `require_current` checks it inside the same transaction. Tokens grow over all
leases, so that a token alone says which lease it belongs to.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text, update

from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.tables import Lease as LeaseTable
from infra.errors import CatalogueUnavailable, LeaseHeld, LeaseLost

logger = logging.getLogger(__name__)

DEFAULT_TTL_SECONDS = 60.0
_TOKEN_LOCK = 0x6C656173  # "leas", the number of the advisory lock that orders tokens on Postgres


@dataclass(frozen=True)
class Lease:
    """A lease held. `token` goes along with what is written under it."""

    name: str
    holder: str
    token: int


class LeaseCatalogue:
    """Leases by name, e.g. `retrain/ravdess`."""

    clock: Callable[[], float] | None = None
    """Seconds since the epoch; None: the database server's clock, so that machines need not agree."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire_lease(
        self, name: str, ttl_seconds: float = DEFAULT_TTL_SECONDS, holder: str | None = None
    ) -> Lease:
        """Take the lease if it is free or has run out; `holder` is shown to others (default: host and
        process).

        Raises LeaseHeld, also to the holder itself: two equal runs are two holders.
        """
        holder = holder or f"{socket.gethostname()}:{os.getpid()}"
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _TOKEN_LOCK})
            query = select(LeaseTable.holder, LeaseTable.expires_at).where(LeaseTable.name == name)
            row = connection.execute(query.with_for_update()).first()
            now = self._now(connection)
            if row is not None and row.expires_at > now:
                raise LeaseHeld(name, row.holder, row.expires_at - now)
            token = (connection.scalar(select(func.max(LeaseTable.token))) or 0) + 1
            values = {"name": name, "holder": holder, "token": token, "expires_at": now + ttl_seconds}
            upsert(connection, LeaseTable, [values])
        return Lease(name, holder, token)

    def renew_lease(self, lease: Lease, ttl_seconds: float = DEFAULT_TTL_SECONDS) -> None:
        """Extend the lease; one that ran out but was not taken over is still ours. Raises LeaseLost."""
        with self._database.writing() as connection:
            require_current(connection, lease.token)
            self._set_expiry(connection, lease, self._now(connection) + ttl_seconds)

    def release_lease(self, lease: Lease) -> None:
        """Give the lease back; no error if it was lost."""
        with self._database.writing() as connection:
            self._set_expiry(connection, lease, 0.0)

    @contextmanager
    def hold_lease(self, name: str, ttl_seconds: float = DEFAULT_TTL_SECONDS) -> Iterator[Lease]:
        """Hold the lease for the block, renewed in the background every third of its time.

        Raises LeaseHeld at the beginning. A loss during the block shows where the token is used.
        """
        lease = self.acquire_lease(name, ttl_seconds)
        done = threading.Event()

        def renew() -> None:
            while not done.wait(ttl_seconds / 3):
                try:
                    self.renew_lease(lease, ttl_seconds)
                except CatalogueUnavailable as error:
                    logger.warning("lease %s could not be renewed yet: %s", name, error)
                except LeaseLost as error:
                    logger.error("%s", error)
                    return

        thread = threading.Thread(target=renew, name=f"lease {name}", daemon=True)
        thread.start()
        try:
            yield lease
        finally:
            done.set()
            thread.join()
            self.release_lease(lease)

    def _set_expiry(self, connection: Connection, lease: Lease, expires_at: float) -> None:
        ours = LeaseTable.token == lease.token
        connection.execute(update(LeaseTable).where(ours).values(expires_at=expires_at))

    def _now(self, connection: Connection) -> float:
        if self.clock is not None:
            return self.clock()
        if connection.dialect.name == "postgresql":
            seconds = text("SELECT extract(epoch FROM clock_timestamp())")
            return float(connection.execute(seconds).scalar_one())
        return time.time()


def require_current(connection: Connection, token: int) -> None:
    """Raise LeaseLost unless `token` is the newest of its lease; it stays so until the commit."""
    query = select(LeaseTable.name).where(LeaseTable.token == token)
    if connection.scalar(query.with_for_update()) is None:
        raise LeaseLost(f"the lease with token {token} was lost to a newer holder: stop writing")
