"""What a start could not put right is said once for each reason."""

from __future__ import annotations

import pytest

from flows.upkeep import put_right
from infra.settings import Settings


def test_one_reason_is_one_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_HOME", str(settings.home))
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "catalogue.db").write_bytes(b"no database at all" * 400)
    damaged = [line for line in put_right(settings) if "is damaged" in line]
    assert len(damaged) == 1
    assert damaged[0].startswith("dead runs, stages killed after their commit, ")
    assert "`mer rebuild`" in damaged[0]
