"""Leases: who may write. Each new holder gets a higher fencing token; a write under an older one is refused.

A lease alone does not stop a holder that was paused past its end: so whoever writes what is to be protected
takes the token along, and `require_current` checks it inside the same transaction. Tokens grow over all
leases, so that a token alone says which lease it belongs to.

No clock that anybody sets decides who holds a lease. On one machine its end is told by the seconds since boot, and a
holder that has ended, or was of an earlier boot, holds nothing. A holder on another machine (by way of Postgres) must be
seen to let its whole time pass without a renewal, by the clock of whoever waits: who asks for the first time waits that long.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, select, text, update

from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.tables import Lease as LeaseTable
from infra.errors import CatalogueUnavailable, LeaseHeld, LeaseLost
from infra.machine import ProcessName, boot_id, has_ended, seconds_since_boot, this_process

logger = logging.getLogger(__name__)

DEFAULT_TTL_SECONDS = 60.0
_EARLIER_TTL_SECONDS = 30.0
"""For how long runs of versions to 0.4.0, which did not write it down, held their lease between two renewals."""
_TOKEN_LOCK = 0x6C656173  # "leas", the number of the advisory lock that orders tokens on Postgres


@dataclass(frozen=True)
class Lease:
    """A lease held. `token` goes along with what is written under it."""

    name: str
    holder: str
    token: int


class _Seen(NamedTuple):
    """What a lease looked like, and when that was first seen."""

    token: int
    beat: int
    expires_at: float
    since: float


class LeaseCatalogue:
    """Leases by name, e.g. `retrain/ravdess`."""

    clock: Callable[[], float] = staticmethod(seconds_since_boot)
    """Seconds of a clock that is never set."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, _Seen] = {}
        """Leases whose end no clock here tells, as they were last seen."""

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
            query = select(LeaseTable.__table__).where(LeaseTable.name == name)
            row = connection.execute(query.with_for_update()).first()
            if row is not None and (left := self._seconds_left(row)) > 0:
                raise LeaseHeld(name, row.holder, left)
            token = (connection.scalar(select(func.max(LeaseTable.token))) or 0) + 1
            process = this_process()
            values = {
                "name": name,
                "holder": holder,
                "token": token,
                "boot": boot_id(),
                "process": None if process is None else str(process),
                **self._renewed(0, ttl_seconds),
            }
            upsert(connection, LeaseTable, [values])
        return Lease(name, holder, token)

    def renew_lease(self, lease: Lease, ttl_seconds: float = DEFAULT_TTL_SECONDS) -> None:
        """Extend the lease; one that ran out but was not taken over is still ours. Raises LeaseLost."""
        with self._database.writing() as connection:
            require_current(connection, lease.token)
            ours = LeaseTable.token == lease.token
            beat = connection.scalar(select(LeaseTable.beat).where(ours)) or 0
            connection.execute(update(LeaseTable).where(ours).values(self._renewed(beat + 1, ttl_seconds)))

    def release_lease(self, lease: Lease) -> None:
        """Give the lease back; no error if it was lost."""
        with self._database.writing() as connection:
            ours = LeaseTable.token == lease.token
            connection.execute(update(LeaseTable).where(ours).values(expires_at=0.0))

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

    def _renewed(self, beat: int, ttl_seconds: float) -> dict[str, Any]:
        return {"beat": beat, "ttl_seconds": ttl_seconds, "expires_at": self.clock() + ttl_seconds}

    def _seconds_left(self, row: Row[Any]) -> float:
        """How long the lease of this row is still held unless it is renewed; 0: it is free."""
        if row.expires_at == 0:
            return 0.0
        process = ProcessName.parse(row.process or "")
        if process is not None and has_ended(process):
            return 0.0
        if row.boot is not None and row.boot == boot_id():
            return max(0.0, float(row.expires_at) - self.clock())
        if row.boot is not None and boot_id() is not None and not self._database.is_postgres:
            return 0.0  # a database file is of one machine, which has been started anew since
        return self._unrenewed(row)

    def _unrenewed(self, row: Row[Any]) -> float:
        """What is left of its time since it was first seen as it is now, by the clock of whoever waits for it."""
        now, seen = self.clock(), self._seen.get(row.name)
        if seen is None or (seen.token, seen.beat, seen.expires_at) != (row.token, row.beat, row.expires_at):
            seen = self._seen[row.name] = _Seen(row.token, row.beat, row.expires_at, now)
        return max(0.0, seen.since + (row.ttl_seconds or _EARLIER_TTL_SECONDS) - now)


def require_current(connection: Connection, token: int) -> None:
    """Raise LeaseLost unless `token` is the newest of its lease; it stays so until the commit."""
    query = select(LeaseTable.name).where(LeaseTable.token == token)
    if connection.scalar(query.with_for_update()) is None:
        raise LeaseLost(f"the lease with token {token} was lost to a newer holder: stop writing")
