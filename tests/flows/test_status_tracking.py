"""`mer status` shows what waits for MLflow, what it refused and why; `mer up` sends what was refused once more."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app, local
from infra.tracking.spool import EventRefused, Spool, TrackingDown
from tasks.stage.workspace import workspace


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return Spool(workspace().settings.spool_folder)


def shown() -> str:
    return " ".join(CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"}).stdout.split())


def test_what_waits_is_shown_with_its_age_and_why(spool: Spool) -> None:
    spool.add({"type": "run"})
    for path in spool._events():
        os.utime(path, (time.time() - 3 * 3600,) * 2)
    spool.add({"type": "run"})

    def down(event: Mapping[str, Any]) -> None:
        raise TrackingDown("no answer from [bold]")

    spool.drain(down)
    said = shown()
    assert "2 tracking events wait for MLflow, the oldest for 3 h (no answer from [bold])" in said
    assert "refused" not in said


def test_what_was_refused_is_shown_by_reason(spool: Spool) -> None:
    for number in range(3):
        spool.add({"number": number})

    def refuse(event: Mapping[str, Any]) -> None:
        raise EventRefused("too long" if event["number"] else "no such thing")

    spool.drain(refuse)
    said = shown()
    assert "refused by MLflow: 2 tracking events (too long)" in said
    assert "refused by MLflow: 1 tracking events (no such thing)" in said
    assert "`mer up` sends them once more" in said


@pytest.mark.slow
def test_up_sends_what_was_refused_once_more(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(event: Mapping[str, Any]) -> None:
        raise EventRefused("of an MLflow that was older")

    spool.add({"type": "alias"})
    spool.add({"type": "unheard of"})
    spool.drain(refuse)
    monkeypatch.setattr(local, "servers", dict)  # its database is written directly: no server is needed
    assert "sent 1 tracking events" in CliRunner().invoke(app, ["up"]).stdout
    (left,) = spool.refused()
    assert "unheard of" in left.reason
