"""Who only looks is told what is there, by its real key, and makes, verifies and stamps nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import load_settings
from tasks.stage.compute import computing
from tasks.stage.finding import gone
from tasks.stage.looking import NotMade, is_looking, looking
from tasks.stage.run import Produced, StageResult, StageRun, find_stage, run_stage
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def body(run: StageRun) -> Produced:
    return Produced(files={"answer.txt": b"42"}, meta={"answer": 42})


def stage(x: int) -> StageResult:
    return run_stage("test", inputs={"x": x}, config={}, produce=body)


def test_what_is_not_there_is_said_and_not_made(space: Workspace) -> None:
    with looking(), pytest.raises(NotMade, match="test is not made yet"):
        stage(1)
    with looking(), pytest.raises(NotMade):
        find_stage("test", inputs={"x": 1}, config={}, produce=body)
    with looking(), pytest.raises(NotMade), computing(load_settings()):
        pass
    assert not space.catalogue.artifacts() and not (space.work / "test").exists() and not is_looking()


def test_what_is_there_is_found_under_the_key_of_a_run(space: Workspace) -> None:
    made = stage(1)
    (before,) = space.catalogue.artifacts("test")
    with looking():
        found = stage(1)
        assert gone(space, [found.ref]) == []
    assert found.ref == made.ref and not found.ran and found.meta["answer"] == 42
    assert space.catalogue.artifacts("test") == [before], "not stamped as used"
    assert not stage(1).ran
