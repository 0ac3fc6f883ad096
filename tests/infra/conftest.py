from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.catalogue import Catalogue, open_catalogue
from infra.services import stop_all
from infra.settings import Settings, load_settings


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalogue.db'}"
    fresh: Callable[[], str] = request.getfixturevalue("fresh_postgres")
    return fresh()


@pytest.fixture
def catalogue(database_url: str) -> Iterator[Catalogue]:
    """An empty catalogue in each kind of database."""
    with open_catalogue(database_url, timeout_seconds=10) as opened:
        yield opened


@pytest.fixture
def server_home() -> Iterator[Settings]:
    """A home for servers that a test starts and stops itself (not in pytest's folder: see `server_settings`)."""
    with tempfile.TemporaryDirectory(prefix="mer-servers-") as folder:
        home = load_settings(home=Path(folder))
        yield home
        stop_all(home)
