"""Table of the decisions whether models were fitted again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from infra.catalogue.tables import Base
from infra.catalogue.utc_time import UtcTime, utc_now


class Refit(Base):
    """A run that asked whether to fit again: one row for each."""

    __tablename__ = "refits"
    __table_args__ = (Index(None, "model", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    model: Mapped[str] = mapped_column(String(200))
    corpus: Mapped[str] = mapped_column(String(200))
    snapshot: Mapped[str] = mapped_column(String(64))
    """The corpus as it was then."""
    since_version: Mapped[int | None] = mapped_column(Integer)
    """Version whose snapshot growth was counted from; None: there was none to count from."""
    fitted: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str] = mapped_column(Text)
    run: Mapped[str | None] = mapped_column(Text)
    """Flow run that asked."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)
