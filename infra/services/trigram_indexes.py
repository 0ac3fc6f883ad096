"""Prefect's server on a Postgres without the extension `pg_trgm`, as wheels have it.

Prefect's migrations make the extension and trigram indexes, which make searches of names faster and change no answer. Where the
server cannot have the extension they become plain indexes of the same names, so that later migrations find what they look for.
"""

from __future__ import annotations

import re
from typing import Any

_TRIGRAM_INDEX = re.compile(r"USING\s+gin\s*\(\s*(\w+)\s+gin_trgm_ops\s*\)", re.IGNORECASE)
_INDEXED = 200
"""Characters of a name that a plain index holds: it refuses rows whose value is too long, where a trigram index holds parts."""
_EXTENSION = re.compile(r"^\s*(CREATE|DROP)\s+EXTENSION\b.*\bpg_trgm\b", re.IGNORECASE)


def without_trigrams(statement: str) -> str:
    """The statement with a plain index in place of a trigram one, and nothing in place of the extension."""
    if _EXTENSION.match(statement):
        return "SELECT 1"
    return _TRIGRAM_INDEX.sub(rf"(left(\1, {_INDEXED}))", statement)


def do_without_trigrams_if_absent(database: str) -> None:
    """Let this process' statements do without trigrams where `database` (SQLAlchemy URL) is a Postgres that lacks them."""
    if not database.startswith("postgresql") or _has_trigrams(database):
        return
    from sqlalchemy import Engine, event

    def replaced(_c: Any, _s: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return without_trigrams(statement), parameters

    event.listen(Engine, "before_cursor_execute", replaced, retval=True)


def _has_trigrams(database: str) -> bool:
    import psycopg

    _, _, rest = database.partition("://")
    with psycopg.connect(f"postgresql://{rest}", connect_timeout=30) as connection:
        query = "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
        return connection.execute(query).fetchone() is not None
