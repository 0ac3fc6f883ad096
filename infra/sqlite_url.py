"""SQLAlchemy URLs of SQLite files: every file name has one, and the file of a URL is found again.

SQLAlchemy takes the text between `sqlite:///` and the first `?` as it is, without unquoting: a folder named `what?` would put
the database at another place, without a word. SQLite's own URIs (`file:...`) are unquoted by SQLite, so they name such files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_PREFIX = "file:"


def sqlite_url(path: Path, driver: str = "sqlite") -> str:
    """URL of the SQLite file at `path` (absolute), e.g. `sqlite:////home/me/catalogue.db`.

    Args:
        path: any path that the file system allows.
        driver: what stands before `://`, e.g. `sqlite+aiosqlite`.
    """
    if "?" not in str(path):
        return f"{driver}:///{path}"
    return f"{driver}:///{_PREFIX}{quote(str(path))}?uri=true"


def sqlite_file(url: str | URL) -> Path | None:
    """The file that a URL names; None: no SQLite, or a database in memory."""
    from sqlalchemy.engine import make_url  # settings are read by commands that open no database

    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    database = str(parsed.database)
    if database.startswith(_PREFIX) and "uri" in parsed.query:
        return Path(unquote(database.removeprefix(_PREFIX)))
    return Path(database)
