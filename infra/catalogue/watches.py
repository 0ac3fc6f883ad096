"""What watches have started: every content counts once, every batch has one run, whatever becomes of who watches."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, update

from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.utc_time import utc_now
from infra.catalogue.watch_tables import WatchBatch, WatchedContent

DUE, STARTED, DONE, FAILED = "due", "started", "done", "failed"
OPEN = (DUE, STARTED)


@dataclass(frozen=True, kw_only=True)
class WatchBatchRow:
    """A run that a watch starts."""

    watch: str
    number: int
    state: str
    """`due`, `started`, `done` or `failed`."""
    clips: int
    """New contents that started it."""
    attempts: int
    run: str | None
    """Id of the flow run, or name of the process, that executes it."""
    created_at: datetime
    ended_at: datetime | None


class WatchCatalogue:
    """Batches of watches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_batch(self, watch: str) -> WatchBatchRow | None:
        """The batch that is due or under way; None: none."""
        return next((row for row in self.watch_batches(watch) if row.state in OPEN), None)

    def watch_batches(self, watch: str) -> list[WatchBatchRow]:
        """All batches of a watch, oldest first."""
        query = select(WatchBatch.__table__).where(WatchBatch.watch == watch).order_by(WatchBatch.number)
        with self._database.reading() as connection:
            return [WatchBatchRow(**row) for row in connection.execute(query).mappings()]

    def watched_contents(self, watch: str) -> frozenset[str]:
        """Contents that have started a run already."""
        query = select(WatchedContent.content).where(WatchedContent.watch == watch)
        with self._database.reading() as connection:
            return frozenset(connection.scalars(query))

    def add_batch(self, watch: str, contents: Collection[str]) -> WatchBatchRow | None:
        """Make a batch of these contents, to be started; those that started one before do not count.

        Two who watch the same make one batch: the second finds the contents taken, or the first one's batch open. None: nothing
        is left to start, or a batch is open.
        """
        with self._database.writing() as connection:
            taken = set(
                connection.scalars(select(WatchedContent.content).where(WatchedContent.watch == watch))
            )
            new = sorted(set(contents) - taken)
            ours = WatchBatch.watch == watch
            waiting = select(func.count()).select_from(WatchBatch).where(ours, WatchBatch.state.in_(OPEN))
            if not new or connection.scalar(waiting):
                return None
            number = (connection.scalar(select(func.max(WatchBatch.number)).where(ours)) or 0) + 1
            values = {
                "watch": watch, "number": number, "state": DUE, "clips": len(new), "attempts": 0, "created_at": utc_now(),
            }  # fmt: skip
            connection.execute(insert(WatchBatch).values(values))
            rows = [{"watch": watch, "content": content, "batch": number} for content in new]
            upsert(connection, WatchedContent, rows, update=False)
        return next(row for row in self.watch_batches(watch) if row.number == number)

    def start_batch(self, watch: str, number: int, run: str) -> None:
        """Note who executes it, which counts as an attempt."""
        same = (WatchBatch.watch == watch) & (WatchBatch.number == number)
        values = {"state": STARTED, "run": run, "attempts": WatchBatch.attempts + 1}
        with self._database.writing() as connection:
            connection.execute(update(WatchBatch).where(same, WatchBatch.state.in_(OPEN)).values(values))

    def end_batch(self, watch: str, number: int, *, done: bool) -> None:
        """Note how its run ended; one that has ended stays as it is."""
        same = (WatchBatch.watch == watch) & (WatchBatch.number == number)
        values = {"state": DONE if done else FAILED, "ended_at": utc_now()}
        with self._database.writing() as connection:
            connection.execute(update(WatchBatch).where(same, WatchBatch.state.in_(OPEN)).values(values))
