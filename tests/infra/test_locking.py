"""Locks lie on files, wait for each other, and say where there are none."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from infra.errors import HomeUnusable
from infra.locking import is_locked, locked, locked_now
from infra.services.process import ServiceProcess
from infra.tracking.spool import Spool
from tasks.stage.work_folder import alone_in, clear_if_abandoned, in_use


def without_folder_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS, where a lock is one of bytes of a file that is open for writing."""
    real = fcntl.flock

    def flock(handle: Any, operation: int) -> None:
        flags = fcntl.fcntl(handle, fcntl.F_GETFL)
        if flags & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock)


def without_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(handle: Any, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_stage_works_where_folders_have_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_folder_locks(monkeypatch)
    folder = tmp_path / "kind" / "key"
    with alone_in(folder):
        (folder / "checkpoint").touch()
        assert in_use(folder)
        clear_if_abandoned(folder)
        assert (folder / "checkpoint").exists(), "it is in use"
    assert not in_use(folder)
    clear_if_abandoned(folder)
    assert not any(folder.parent.iterdir()), "no lock is left behind either"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("user", ["stage", "service", "tracker"])
def test_where_there_are_no_locks_one_message_says_so(
    number: int, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch, number)
    with pytest.raises(HomeUnusable, match=r"has no file locks .*MER_HOME"):
        if user == "stage":
            with alone_in(tmp_path / "kind" / "key"):
                pass
        elif user == "service":
            with ServiceProcess("s", tmp_path / "services").exclusively():
                pass
        else:
            spool = Spool(tmp_path / "spool")
            spool.add({"type": "run"})
            spool.drain(lambda event: None)


def test_one_after_the_other_also_when_the_holder_removes_the_file(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", []

    def work(number: int) -> None:
        with locked(path):
            order.append(("in", number))
            time.sleep(0.02)
            order.append(("out", number))
            path.unlink()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [kind for kind, _ in order] == ["in", "out"] * 6
    assert all(first[1] == second[1] for first, second in zip(order[::2], order[1::2], strict=True))


def test_asking_makes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path) and not path.exists()
    with locked(path), locked_now(path) as ours:
        assert is_locked(path) and not ours


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeUnusable, match="cannot write"), locked(tmp_path / "file" / "lock"):
        pass


def test_a_lock_that_a_kill_left_without_its_folder_goes_too(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (tmp_path / "work.lock").touch()
    clear_if_abandoned(folder)
    assert not list(tmp_path.iterdir())
    clear_if_abandoned(folder)
    assert not list(tmp_path.iterdir()), "looking makes nothing"
