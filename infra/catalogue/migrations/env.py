"""Alembic runs this file; the connection comes from `infra.catalogue.schema.migrate`, in its transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from infra.catalogue.tables import Base
from infra.catalogue.utc_time import UtcTime


def render_item(kind: str, item: Any, _autogen_context: Any) -> str | Literal[False]:
    """A revision must not depend on classes of today's code."""
    if kind == "type" and isinstance(item, UtcTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
