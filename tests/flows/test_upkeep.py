"""What a start says of what it could not put right."""

from __future__ import annotations

import pytest

from flows.upkeep import put_right
from infra.catalogue import open_catalogue
from infra.settings import Settings


def test_one_reason_for_all_steps_is_said_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_HOME", str(settings.home))
    open_catalogue(settings).close()
    (settings.home / "catalogue.db").write_bytes(b"no database " * 1000)
    lines = put_right(settings)
    assert len([line for line in lines if "is damaged" in line]) == 1
    assert lines[0].startswith(
        "dead runs, stages killed after their commit, approvals whose time is over, MLflow's registry, records of the catalogue"
    )
