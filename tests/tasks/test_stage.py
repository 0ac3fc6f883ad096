"""A stage runs once per key; a damaged artifact is computed again; a failed one leaves nothing visible."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.settings import Settings, load_settings
from tasks.stage.compute import computing
from tasks.stage.run import Produced, StageResult, StageRun, run_stage
from tasks.stage.work_folder import alone_in, in_use
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


class Counting:
    """A stage body that counts how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, run: StageRun) -> Produced:
        self.runs += 1
        return Produced(files={"answer.txt": b"42"}, meta={"answer": 42})


def _run(body: Counting, **inputs: object) -> StageResult:
    return run_stage("test", inputs=inputs, config={"a": 1}, produce=body)


def test_a_stage_runs_once_per_key(space: Workspace) -> None:
    body = Counting()
    first, second = _run(body, x=1), _run(body, x=1)
    assert (first.ran, second.ran, body.runs) == (True, False, 1)
    assert first.ref == second.ref
    assert second.meta["answer"] == 42
    _run(body, x=2)
    assert body.runs == 2


def test_what_other_libraries_made_is_used_and_told_once(
    space: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    body = Counting()
    ref = _run(body, x=1).ref
    (record,) = space.catalogue.artifacts("test")
    assert set(record.libraries) == {"torch", "transformers", "peft"}
    _run(body, x=1)
    assert not caplog.records
    older = {**record.libraries, "torch": "1.0"}
    space.catalogue.record_artifact(ref, stage="test", code_version=record.code_version, libraries=older)
    assert not _run(body, x=1).ran and not _run(body, x=1).ran
    (told,) = caplog.records
    assert f"made, by torch 1.0 (now {record.libraries['torch']})" in told.getMessage()


def test_two_at_once_compute_a_key_once(space: Workspace) -> None:
    body = Counting()
    with ThreadPoolExecutor(max_workers=4) as pool:
        results = list(pool.map(lambda _: _run(body, x=3), range(4)))
    assert body.runs == 1
    assert sum(result.ran for result in results) == 1
    assert len({result.ref for result in results}) == 1


def test_waiting_for_another_computation_is_no_cost_of_a_stage(space: Workspace) -> None:
    def slow(run: StageRun) -> Produced:
        time.sleep(0.3)
        return Produced(files={"answer.txt": b"42"})

    def stage(number: int) -> StageResult:
        return run_stage("test", inputs={"n": number}, config={}, produce=slow)

    with ThreadPoolExecutor(max_workers=3) as pool:
        with computing(space.settings):
            running = [pool.submit(stage, number) for number in range(3)]
            time.sleep(2.0)
        seconds = [result.result().seconds for result in running]
    assert min(seconds) >= 0.3, "its own time is counted"
    assert max(seconds) < 2.0, "two seconds of another computation are not"


def test_what_a_kill_after_the_commit_left_is_cleared(space: Workspace) -> None:
    body = Counting()
    ref = _run(body, x=1).ref
    left = space.work / ref.kind / ref.key
    left.mkdir(parents=True)
    (left / "checkpoint.safetensors").write_bytes(b"old")
    with alone_in(left):
        assert not _run(body, x=1).ran
        assert left.exists(), "a folder somebody works in"
    assert not _run(body, x=1).ran
    assert not left.exists()


def test_a_folder_is_in_use_while_a_stage_works_in_it_and_not_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "fusion" / "key"
    assert not in_use(folder)
    with alone_in(folder):
        assert in_use(folder)
    assert folder.is_dir() and not in_use(folder), "what a killed stage leaves has no holder"


def test_a_flipped_bit_is_found_and_the_stage_runs_again(space: Workspace) -> None:
    body = Counting()
    ref = _run(body, x=1).ref
    blob = next((space.settings.home / "objects" / "blobs").rglob("*"), None)
    blobs = [path for path in (space.settings.home / "objects" / "blobs").rglob("*") if path.is_file()]
    assert blob and len(blobs) == 1
    blobs[0].chmod(0o644)
    blobs[0].write_bytes(b"43")
    again = _run(body, x=1)
    assert again.ran
    assert again.ref == ref
    assert space.artifacts.read(again.ref, "answer.txt") == b"42"


def test_a_failed_stage_leaves_nothing_visible_and_may_go_on(space: Workspace) -> None:
    folders: list[Path] = []

    def produce(run: StageRun) -> Produced:
        folders.append(run.folder)
        if len(folders) == 1:
            (run.folder / "half").write_text("done")
            raise RuntimeError("killed")
        assert (run.folder / "half").read_text() == "done"
        return Produced(files={"whole": b"done"})

    with pytest.raises(RuntimeError):
        run_stage("test", inputs={"y": 1}, config={}, produce=produce)
    assert space.catalogue.artifacts("test") == []
    assert run_stage("test", inputs={"y": 1}, config={}, produce=produce).ran
    assert folders[0] == folders[1]
    assert not folders[0].exists()


def test_the_environment_decides_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "one"))
    one = workspace()
    monkeypatch.setenv("MER_HOME", str(tmp_path / "two"))
    assert isinstance(load_settings(), Settings)
    assert workspace() is not one
    monkeypatch.setenv("MER_HOME", str(tmp_path / "one"))
    assert workspace() is one
