"""The same flow against a real Postgres and a real S3 server gives the same artifacts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_installation import Installation

from infra.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


def test_postgres_and_s3_give_the_same_result(
    finished: Installation,
    tmp_path: Path,
    s3_settings: Settings,
    fresh_postgres: Callable[[], str],
    server_addresses: dict[str, str],
) -> None:
    assert s3_settings.s3_access_key and s3_settings.s3_secret_key
    mine = Installation(
        home=tmp_path / "home",
        corpus=finished.corpus,
        environment={
            **server_addresses,
            "MER_DATABASE_URL": fresh_postgres(),
            "MER_OBJECT_STORE_URL": s3_settings.object_store_url,
            "MER_S3_ACCESS_KEY": s3_settings.s3_access_key.get_secret_value(),
            "MER_S3_SECRET_KEY": s3_settings.s3_secret_key.get_secret_value(),
        },
    )
    mine.run()
    assert mine.results() == finished.results()
    assert not (mine.home / "objects").exists(), "artifacts went to a folder instead of S3"
    assert not (mine.home / "catalogue.db").exists(), "the catalogue went to SQLite instead of Postgres"
