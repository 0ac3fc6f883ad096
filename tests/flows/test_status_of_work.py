"""`mer status` says of unfinished work whether a run goes on from it, and of the disk what takes how much."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from flows.status.disk import bytes_below, disk, shown_size
from flows.status.unfinished_work import unfinished_work
from tasks.stage.code_version import code_version
from tasks.stage.run import Produced, StageRun, run_stage
from tasks.stage.work_folder import alone_in
from tasks.stage.work_record import WorkRecord, describe_work, read_record
from tasks.stage.workspace import Workspace, workspace


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def _broken(run: StageRun) -> Produced:
    (run.folder / "checkpoint.safetensors").write_bytes(b"half done")
    raise KeyboardInterrupt


def _left(space: Workspace, name: str, record: WorkRecord | None) -> Path:
    folder = space.work / "fusion" / (name * 64)
    with alone_in(folder):
        if record is not None:
            describe_work(folder, record)
    return folder


def test_what_a_run_goes_on_from_is_told_from_what_none_will(space: Workspace) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_stage(
            "fusion", inputs={}, config={}, produce=_broken, label="fused fold0", parent_run="retrain x"
        )
    current = WorkRecord.of("fused", "run", code_version(_broken))
    _left(space, "a", replace(current, code="0" * 16))
    _left(space, "b", replace(current, roots=("tasks.gone:produce",)))
    for name in ("c", "e"):
        _left(space, name, None)
    lines = list(unfinished_work(space))
    assert sum("fused fold0" in line and "of retrain x" in line and "goes on" in line for line in lines) == 1
    assert sum(line.startswith("unfinished: 2 fusion (of an earlier version") for line in lines) == 1
    assert sum(line.startswith("stale: 2 fusion") and "`mer prune`" in line for line in lines) == 1
    assert len(lines) == 3


def test_work_whose_result_is_there_is_stale(space: Workspace) -> None:
    folder = _left(space, "d", None)
    space.artifacts.commit("fusion", "d" * 64, {"a": b"made by another machine"})
    assert [line[:15] for line in unfinished_work(space)] == ["stale: 1 fusion"]
    with alone_in(folder):
        assert list(unfinished_work(space)) == ["at work now, or waiting for their turn: 1 fusion"]


def test_a_stage_leaves_a_record_where_it_works_and_nothing_where_it_ends(space: Workspace) -> None:
    seen: list[WorkRecord | None] = []

    def produce(run: StageRun) -> Produced:
        seen.append(read_record(run.folder))
        return Produced(files={"a": b"1"})

    begun = time.time()
    run_stage("test", inputs={}, config={}, produce=produce, label="a stage", parent_run=None)
    [record] = seen
    assert record is not None
    assert (record.label, record.run) == ("a stage", "")
    assert record.code == code_version(produce)
    assert record.roots
    assert begun - 1 <= record.started <= time.time()
    assert not list(space.work.glob("*/*"))


def test_the_disk_is_said_by_parts_and_cut_off_where_time_is_over(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.artifacts.commit("test", "k", {"a": b"x" * 5_000_000})
    (line,) = disk(space)
    assert "objects 5.0 MB" in line
    assert "databases " in line
    assert line.endswith("free")
    monkeypatch.setattr(sys.modules["flows.status.disk"], "SECONDS", -1.0)
    (line,) = disk(space)
    assert "objects at least" in line
    assert bytes_below([space.settings.home / "absent"], time.monotonic() + 1) == (0, True)
    assert [shown_size(size) for size in (12, 2500, 1.2e9)] == ["12 B", "2.5 kB", "1.2 GB"]
