"""Which errors say that a database is damaged, and not that it does not answer."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

_MISSING = ("no such table", "no such column")
_POSTGRES_CLASSES = ("XX001", "XX002", "42P01", "42703")
"""Damaged data, a damaged index, a table or a column that is gone."""
_UNREADABLE = ("Couldn't parse", "Invalid isoformat", "Could not decode to UTF-8")
"""What a column's text is called that is no time or no text."""


def is_damage(error: BaseException) -> bool:
    """True for an error of a driver, or of what reads its values, that trying again does not help."""
    cause: Any = getattr(error, "orig", None) or error
    if isinstance(cause, json.JSONDecodeError | UnicodeDecodeError):
        return True
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the rest says more of the same
        text = str(cause)
        return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or text.startswith(
            (*_MISSING, *_UNREADABLE)
        )
    if isinstance(cause, ValueError):
        return str(cause).startswith(_UNREADABLE)
    return getattr(cause, "sqlstate", None) in _POSTGRES_CLASSES
