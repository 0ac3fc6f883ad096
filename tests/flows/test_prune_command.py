"""`mer prune`, the clean-up at a start, and the deployment: what they ask, say and do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from aged_home import pass_days
from typer.testing import CliRunner

from flows.cli.commands import app
from flows.cli.outcome import failure
from flows.upkeep import put_right
from infra.services import retention
from infra.settings import load_settings
from tasks.prune.daily import prune_if_due
from tasks.stage.run import Produced, StageRun, run_stage
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def used(home: Path) -> Workspace:
    """A home with an artifact that nobody used for 40 days."""
    space = workspace()
    _stage("old")
    for _ in range(4):
        pass_days(space.settings, 10)
        _stage(os.urandom(4).hex())
    return space


def _stage(name: str) -> str:
    return run_stage("test", inputs={"name": name}, config={}, produce=_produced).ref.key


def _produced(run: StageRun) -> Produced:
    return Produced(files={"a": run.folder.name.encode()})


def _artifacts(space: Workspace) -> int:
    return len(space.catalogue.artifact_uses())


def test_a_home_that_is_not_there_is_not_made(home: Path) -> None:
    done = CliRunner().invoke(app, ["prune"])
    assert done.exit_code == 0
    assert "nothing is in the home" in done.output
    assert not home.exists()


def test_a_dry_run_says_what_would_go_and_the_command_removes_it(used: Workspace) -> None:
    would = CliRunner().invoke(app, ["prune", "--dry-run"])
    assert would.exit_code == 0, would.output
    assert "1  artifacts" in would.output
    assert "would be removed" in would.output
    assert _artifacts(used) == 5
    did = CliRunner().invoke(app, ["prune"])
    assert did.exit_code == 0, did.output
    assert "1  artifacts" in did.output
    assert "no Prefect server runs" in did.output
    assert _artifacts(used) == 4


def test_keeping_less_than_the_settings_say_is_asked_for(used: Workspace) -> None:
    refused = CliRunner().invoke(app, ["prune", "--older-than", "5"])
    assert refused.exit_code == 2
    assert "expected --yes" in refused.output
    assert _artifacts(used) == 5
    assert CliRunner().invoke(app, ["prune", "--older-than", "0"]).exit_code == 2
    done = CliRunner().invoke(app, ["prune", "--older-than", "5", "--yes"])
    assert done.exit_code == 0, done.output
    assert _artifacts(used) == 3, "what was used on the last three days with any use stays"


def test_retention_that_is_off_removes_nothing_unless_days_are_named(
    used: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_RETENTION_DAYS", "0")
    assert prune_if_due(load_settings()) is None
    done = CliRunner().invoke(app, ["prune"])
    assert done.exception is not None
    assert "MER_RETENTION_DAYS=0" in failure(done.exception)
    assert _artifacts(used) == 5
    assert retention.prefect_retention(load_settings()) == {}
    assert CliRunner().invoke(app, ["prune", "--older-than", "20", "--yes"]).exit_code == 0
    assert _artifacts(used) == 3


def test_a_start_cleans_up_once_a_day(used: Workspace) -> None:
    first = put_right(used.settings)
    assert any("that nobody used for 30 days" in line for line in first), first
    assert _artifacts(used) == 4
    _stage("another")
    pass_days(used.settings, 0.5)
    assert prune_if_due(used.settings) is None, "not within a day"
    pass_days(used.settings, 1)
    assert prune_if_due(used.settings) is not None
    os.utime(used.settings.home / "pruned", (4e9, 4e9))
    assert prune_if_due(used.settings) is not None, "a stamp of the future is none"
