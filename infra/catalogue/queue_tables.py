"""Tables of the task queue: who is alive, and what waits for a task worker or runs on one.

Rows are short-lived: a flow's tasks go with it. Text columns hold JSON whose bytes must come back as they were written.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Float, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from infra.catalogue.tables import Base
from infra.catalogue.utc_time import UtcTime, utc_now


class TaskProcess(Base):
    """A process that hands out tasks (a flow) or runs them (a worker), with its heartbeat."""

    __tablename__ = "task_processes"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    role: Mapped[str] = mapped_column(String(10))
    """`flow` or `worker`."""
    label: Mapped[str] = mapped_column(String(200))
    """Host and process, for people."""
    beat: Mapped[int] = mapped_column(BigInteger)
    """Grows by one every second of its life."""
    seen_at: Mapped[datetime] = mapped_column(UtcTime, default=utc_now)
    """For people only: no clock decides who is alive."""
    pools: Mapped[str] = mapped_column(String(100), default="")
    """Pools whose tasks a worker takes, separated by commas; empty for a flow."""
    device: Mapped[str] = mapped_column(String(100), default="")
    """What a worker computes on, for people."""


class QueuedTask(Base):
    """A task that a flow wants run, until the flow has its outcome."""

    __tablename__ = "queued_tasks"

    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    """Tasks are taken in this order."""
    id: Mapped[str] = mapped_column(String(36), unique=True)
    flow: Mapped[str] = mapped_column(String(36), index=True)
    name: Mapped[str] = mapped_column(String(300))
    pool: Mapped[str] = mapped_column(String(50))
    """Only workers of this pool take it."""
    parameters: Mapped[str] = mapped_column(Text)
    context: Mapped[str | None] = mapped_column(Text)
    """JSON: whose run it belongs to, for what its worker logs."""
    worker: Mapped[str | None] = mapped_column(String(36), index=True)
    """Who runs it; None: it waits."""
    taken: Mapped[int] = mapped_column(Integer, default=0)
    """How often it was taken: an outcome of an earlier time is refused."""
    losses: Mapped[int] = mapped_column(Integer, default=0)
    """How often its worker ended before it did."""
    outcome: Mapped[str | None] = mapped_column(Text)
    ran_on: Mapped[str | None] = mapped_column(String(200))
    """Label of the worker that finished it, which may be gone when the flow reads its outcome."""
    device: Mapped[str | None] = mapped_column(String(100))
    """What it computed on."""
    seconds: Mapped[float | None] = mapped_column(Float)
    """How long it computed."""
