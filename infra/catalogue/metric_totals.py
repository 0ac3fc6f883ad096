"""What processes have counted, summed over all of them: a row for each name and labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from infra.catalogue.bulk import upsert
from infra.catalogue.database import Database
from infra.catalogue.metric_tables import MetricTotal
from infra.catalogue.utc_time import utc_now

Series = tuple[str, str]
"""Name, and labels as JSON (`labels_text`)."""
MOST_SERIES = 5000
"""Rows that are read at most: labels are names of stages, models and corpora, of which nobody has so many."""


@dataclass(frozen=True)
class TotalRow:
    """One series."""

    name: str
    labels: Mapping[str, str]
    value: float
    changed_at: datetime


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as they are stored: equal ones are equal texts."""
    return json.dumps({name: str(value)[:100] for name, value in sorted(labels.items())}, ensure_ascii=False)


class MetricCatalogue:
    """Counts of processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_totals(self, added: Mapping[Series, float], latest: Mapping[Series, float]) -> None:
        """Add to totals, and set those that only the last value counts of, in one transaction.

        Args:
            added: what is added to each series.
            latest: the value of each series from now on.
        """
        if not added and not latest:
            return
        now = utc_now()
        with self._database.writing() as connection:
            for series in sorted(added):
                _add(connection, series, added[series], now)
            rows = [
                {"name": name, "labels": labels, "value": value, "changed_at": now}
                for (name, labels), value in latest.items()
            ]
            upsert(connection, MetricTotal, rows)

    def totals(self) -> list[TotalRow]:
        """All series, by name and labels."""
        query = (
            select(MetricTotal.__table__).order_by(MetricTotal.name, MetricTotal.labels).limit(MOST_SERIES)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [TotalRow(row.name, json.loads(row.labels), row.value, row.changed_at) for row in rows]


def _add(connection: Connection, series: Series, value: float, now: datetime) -> None:
    """Rows are made once; of two processes that make one at once the second adds to it."""
    name, labels = series
    this = (MetricTotal.name == name, MetricTotal.labels == labels)
    grown = update(MetricTotal).where(*this).values(value=MetricTotal.value + value, changed_at=now)
    if connection.execute(grown).rowcount:
        return
    first = [{"name": name, "labels": labels, "value": 0.0, "changed_at": now}]
    upsert(connection, MetricTotal, first, update=False)
    connection.execute(grown)
