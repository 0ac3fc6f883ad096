"""Prefect's migrations on a Postgres without trigrams: plain indexes of the same names, everything else as it stands."""

from __future__ import annotations

from pathlib import Path

import prefect.server.database
import pytest

from infra.services.trigram_indexes import without_trigrams


@pytest.mark.parametrize(
    ("statement", "becomes"),
    [
        ("CREATE EXTENSION IF NOT EXISTS pg_trgm;", "SELECT 1"),
        ("DROP EXTENSION IF EXISTS pg_trgm;", "SELECT 1"),
        ("CREATE EXTENSION vector", "CREATE EXTENSION vector"),
        (
            "CREATE INDEX CONCURRENTLY\n trgm_ix_flow_name\n ON flow USING gin (name gin_trgm_ops);",
            "CREATE INDEX CONCURRENTLY\n trgm_ix_flow_name\n ON flow (left(name, 200));",
        ),
        ("CREATE INDEX ix ON flow USING gin (tags)", "CREATE INDEX ix ON flow USING gin (tags)"),
        ("SELECT name FROM flow WHERE name = 'pg_trgm'", "SELECT name FROM flow WHERE name = 'pg_trgm'"),
    ],
)
def test_statements(statement: str, becomes: str) -> None:
    assert without_trigrams(statement) == becomes


def test_no_migration_of_the_installed_prefect_needs_them_otherwise() -> None:
    """A later version of Prefect that writes them in another way is found here and not at a user's start."""
    folder = Path(prefect.server.database.__path__[0]) / "_migrations" / "versions" / "postgresql"
    written = [path for path in folder.glob("*.py") if "gin_trgm_ops" in path.read_text()]
    assert len(written) >= 3
    for path in written:
        assert "gin_trgm_ops" not in without_trigrams(path.read_text()), path.name
