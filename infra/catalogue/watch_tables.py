"""Tables of watches: which clips started which run."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from infra.catalogue.tables import Base
from infra.catalogue.utc_time import UtcTime, utc_now


class WatchBatch(Base):
    """A run that a watch starts: once for its number, whoever started it dies or not."""

    __tablename__ = "watch_batches"

    watch: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Hash of what is watched and what is started for it."""
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(20))
    clips: Mapped[int] = mapped_column(Integer)
    attempts: Mapped[int] = mapped_column(Integer)
    run: Mapped[str | None] = mapped_column(Text)
    """Id of the flow run, or the process, that executes it."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class WatchedContent(Base):
    """A content that has started a run, or was there when one started: it starts no other."""

    __tablename__ = "watched_contents"

    watch: Mapped[str] = mapped_column(String(64), primary_key=True)
    content: Mapped[str] = mapped_column(String(100), primary_key=True)
    """sha256 of a file, or etag and size of an object in a bucket."""
    batch: Mapped[int] = mapped_column(Integer)
