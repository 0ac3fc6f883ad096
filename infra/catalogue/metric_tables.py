"""Table of what processes have counted: they end, and what they counted stays."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Float, String
from sqlalchemy.orm import Mapped, mapped_column

from infra.catalogue.tables import Base
from infra.catalogue.utc_time import UtcTime, utc_now


class MetricTotal(Base):
    """A number that processes add to, or that the last one of them set."""

    __tablename__ = "metric_totals"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    labels: Mapped[str] = mapped_column(String(500), primary_key=True)
    """JSON of label -> value, sorted."""
    value: Mapped[float] = mapped_column(Float)
    changed_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)
