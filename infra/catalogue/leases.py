"""Leases: who may write. Each new holder gets a higher fencing token; a write under an older one is refused.

A lease alone does not stop a holder that was paused past its end: so what is to be protected takes the token
along and
`require_current` checks it inside the same transaction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, select, text, update

from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.tables import Lease as LeaseTable
from infra.errors import CatalogueUnavailable, LeaseHeld, LeaseLost

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FencingToken:
    """Proof of holding lease `lease`; small and serialisable, goes along with what is written."""

    lease: str
    value: int


class Leases:
    """Leases by name, e.g. `retrain/ravdess`."""

    def __init__(self, database: Database, clock: Callable[[], float] | None = None) -> None:
        """`clock`: seconds since the epoch; by default the database server's: machines need not agree."""
        self._database = database
        self._clock = clock

    def acquire(self, name: str, holder: str, ttl_seconds: float) -> FencingToken:
        """Take the lease if it is free or has run out.

        Raises LeaseHeld (also for the holder itself: two equal runs are two holders).
        """
        with self._database.writing() as connection:
            first = {"name": name, "holder": holder, "token": 0, "expires_at": 0.0}
            upsert(connection, LeaseTable, [first], update=False)
            query = select(LeaseTable.holder, LeaseTable.token, LeaseTable.expires_at)
            row = connection.execute(query.where(LeaseTable.name == name).with_for_update()).one()
            now = self._now(connection)
            if row.expires_at > now:
                raise LeaseHeld(name, row.holder, row.expires_at - now)
            values = {"holder": holder, "token": row.token + 1, "expires_at": now + ttl_seconds}
            connection.execute(update(LeaseTable).where(LeaseTable.name == name).values(values))
        return FencingToken(name, row.token + 1)

    def renew(self, token: FencingToken, ttl_seconds: float) -> None:
        """Extend the lease; one that ran out but was not taken over is still ours. Raises LeaseLost."""
        with self._database.writing() as connection:
            require_current(connection, token)
            self._set_expiry(connection, token, self._now(connection) + ttl_seconds)

    def release(self, token: FencingToken) -> None:
        """Give the lease back; no error if it was lost."""
        with self._database.writing() as connection:
            self._set_expiry(connection, token, 0.0)

    def check(self, token: FencingToken) -> None:
        """Raise LeaseLost if a newer holder exists."""
        with self._database.reading() as connection:
            require_current(connection, token, lock=False)

    @contextmanager
    def hold(self, name: str, holder: str, ttl_seconds: float = 60.0) -> Iterator[FencingToken]:
        """Hold the lease for the block, renewed in the background every third of its time.

        Raises LeaseHeld at the beginning. A loss during the block shows where the token is used (`check`,
        aliases).
        """
        token = self.acquire(name, holder, ttl_seconds)
        done = threading.Event()

        def renew() -> None:
            while not done.wait(ttl_seconds / 3):
                try:
                    self.renew(token, ttl_seconds)
                except CatalogueUnavailable as error:
                    logger.warning("lease %s could not be renewed yet: %s", name, error)
                except LeaseLost as error:
                    logger.error("%s", error)
                    return

        thread = threading.Thread(target=renew, name=f"lease {name}", daemon=True)
        thread.start()
        try:
            yield token
        finally:
            done.set()
            thread.join()
            self.release(token)

    def _set_expiry(self, connection: Connection, token: FencingToken, expires_at: float) -> None:
        ours = (LeaseTable.name == token.lease) & (LeaseTable.token == token.value)
        connection.execute(update(LeaseTable).where(ours).values(expires_at=expires_at))

    def _now(self, connection: Connection) -> float:
        if self._clock is not None:
            return self._clock()
        if connection.dialect.name == "postgresql":
            return float(
                connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
            )
        return time.time()


def require_current(connection: Connection, token: FencingToken, *, lock: bool = True) -> None:
    """Raise LeaseLost unless `token` is the newest of its lease; with `lock` it stays so until the commit."""
    query = select(LeaseTable.holder, LeaseTable.token).where(LeaseTable.name == token.lease)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None or row.token != token.value:
        newer = "nobody known" if row is None else f"{row.holder!r} with token {row.token}"
        raise LeaseLost(f"lease {token.lease!r} with token {token.value} was lost to {newer}: stop writing")
