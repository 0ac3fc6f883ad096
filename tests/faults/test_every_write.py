"""Every operation on files: it fails, it and all after it fail, or the process dies before it; then the same command again."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_report import Faults
from invariants import HELD, check_invariants
from io_faults import FOR_GOOD, KILL, LIMIT_SECONDS, ONCE, Pipeline, recovered_run, running_pipeline

from infra.settings import load_settings

pytestmark = [pytest.mark.fault, pytest.mark.timeout(4 * 3600)]
IN_CI = 5
"""Operations of a mode that CI breaks, spread over all; the night breaks each."""
CHUNKS = 8
"""Of the night, so that processes share it."""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with running_pipeline(tmp_path_factory.mktemp("pipeline")) as running:
        yield running


def some(pipeline: Pipeline, offset: int) -> list[int]:
    """Positions all over a run, others for each mode."""
    step = pipeline.operations / IN_CI
    return [1 + int(step * (number + (offset + 1) / 4)) for number in range(IN_CI)]


def failing(pipeline: Pipeline, folder: Path, mode: int, position: int, number: int) -> None:
    """The operation at `position` fails: an error of ours or none, nothing is damaged, and the next run goes on."""
    home, where = folder / "home", f"operation {position}"
    answer = pipeline.order(home, mode, position, errno=number)
    where += f" ({answer.get('happened')})"
    assert not answer["signal"], f"{where}: {answer}"
    assert "result" in answer or answer["explained"], f"{where}: a raw error: {answer['traceback']}"
    assert answer["seconds"] < LIMIT_SECONDS, f"I9 after {where}"
    HELD.update(["I9"])
    try:
        check_invariants(load_settings(home=home), recovered=False)
        recovered_run(pipeline, home, where)
    except Exception as error:
        error.add_note(f"after {where}")
        raise
    shutil.rmtree(home)


def killed(pipeline: Pipeline, folder: Path, position: int) -> None:
    """The process dies before the operation at `position`, which is after the one before it; at most one step is done again."""
    home = folder / "home"
    answer = pipeline.order(home, KILL, position)
    if answer["signal"] == 0:
        assert answer["operations"] < position, answer
    try:
        committed = sum(path.is_file() for path in (home / "objects" / "manifests").rglob("*.json"))
        check_invariants(load_settings(home=home), recovered=False)
        again = recovered_run(pipeline, home, f"a kill before operation {position}")
        assert again["commits"] <= pipeline.commits - committed, f"{again} after {committed} commits"
    except Exception as error:
        error.add_note(f"after a kill before operation {position}")
        raise
    shutil.rmtree(home)


@pytest.mark.parametrize(
    ("mode", "number"), [(ONCE, errno.EIO), (FOR_GOOD, errno.ENOSPC)], ids=["once", "for good"]
)
def test_an_operation_fails(
    pipeline: Pipeline, mode: int, number: int, tmp_path: Path, faults: Faults
) -> None:
    faults.row = "k-th I/O operation fails, once and for good"
    for position in some(pipeline, mode):
        failing(pipeline, tmp_path, mode, position, number)
        faults.injected += 1


def test_a_kill_before_a_write(pipeline: Pipeline, tmp_path: Path, faults: Faults) -> None:
    faults.row = "kill -9 before and after every write"
    for position in some(pipeline, 0):
        killed(pipeline, tmp_path, position)
        faults.injected += 1


@pytest.mark.nightly
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize(
    ("mode", "number"), [(ONCE, errno.EIO), (FOR_GOOD, errno.ENOSPC)], ids=["once", "for good"]
)
def test_every_operation_fails(
    pipeline: Pipeline, mode: int, number: int, chunk: int, tmp_path: Path, faults: Faults
) -> None:
    faults.row = "k-th I/O operation fails, once and for good"
    for position in range(1 + chunk, pipeline.operations + 2, CHUNKS):
        failing(pipeline, tmp_path, mode, position, number)
        faults.injected += 1


@pytest.mark.nightly
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_kill_before_every_write(pipeline: Pipeline, chunk: int, tmp_path: Path, faults: Faults) -> None:
    faults.row = "kill -9 before and after every write"
    for position in range(1 + chunk, pipeline.operations + 2, CHUNKS):
        killed(pipeline, tmp_path, position)
        faults.injected += 1
