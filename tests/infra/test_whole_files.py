"""Files that are there as a whole or not at all: `mer.whole_files` and `infra.whole_files`, which do the same."""

from __future__ import annotations

import errno
import os
import pickle  # noqa: TID251  # of the errors, which travel between processes
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import infra.errors
import infra.whole_files
import mer.errors
import mer.whole_files

ROOT = Path(__file__).parents[2]
FULL: dict[str, type[Exception]] = {"mer": mer.errors.DiskFull, "infra": infra.errors.StoreFull}
FAILED: dict[str, type[Exception]] = {"mer": mer.errors.WriteFailed, "infra": infra.errors.WriteFailed}


@pytest.fixture(params=["mer", "infra"])
def files(request: pytest.FixtureRequest) -> ModuleType:
    return {"mer": mer.whole_files, "infra": infra.whole_files}[request.param]


def house(files: ModuleType) -> str:
    return files.__name__.partition(".")[0]


def test_both_have_the_same_code() -> None:
    """Two texts, since neither package may know the other; one cannot be changed without the other."""
    texts = {name: (ROOT / name / "whole_files.py").read_text(encoding="utf-8") for name in FULL}
    for name, other in (("mer", "infra"), ("infra", "mer")):
        without_head = texts[name].partition("from __future__")[2]
        texts[name] = without_head.replace(f"from {name}.errors", "from errors").replace(
            FULL[name].__name__, "Full"
        )
        assert f"{other}.errors" not in texts[name]
    assert sorted(texts["mer"].split()) == sorted(texts["infra"].split())


@pytest.mark.parametrize("as_function", [False, True])
def test_a_file_is_made_and_replaced_in_one_step(
    files: ModuleType, as_function: bool, tmp_path: Path
) -> None:
    def form(data: bytes) -> Any:
        return (lambda path: path.write_bytes(data)) if as_function else data

    path = tmp_path / "new" / "folder" / "x.json"
    assert files.write_whole(path, form(b"one")) is True
    mask = os.umask(0)
    os.umask(mask)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one", 0o666 & ~mask)
    path.chmod(0o640)
    with path.open("rb") as reader:
        files.write_whole(path, form(b"two"))
        assert reader.read() == b"one", "a reader saw the file change"
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o640)
    assert files.write_whole(path, form(b"three"), if_absent=True) is False
    assert path.read_bytes() == b"two" and list(path.parent.iterdir()) == [path]
    secret = path.with_name("secret")
    assert files.write_whole(secret, form(b"s"), mode=0o600, if_absent=True) is True
    assert secret.stat().st_mode & 0o777 == 0o600 and sorted(path.parent.iterdir()) == [secret, path]


def test_a_private_file_was_never_public(
    files: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (seen.append(os.fstat(handle).st_mode & 0o777), sync(handle))
    )
    opened = os.open
    made: list[int] = []

    def recording(path: Any, flags: int, mode: int = 0o777, **rest: Any) -> int:
        handle = opened(path, flags, mode, **rest)
        if flags & os.O_CREAT:
            made.append(os.fstat(handle).st_mode & 0o777)
        return handle

    monkeypatch.setattr(os, "open", recording)
    files.write_whole(tmp_path / "secret", b"s", mode=0o600)
    assert made == [0o600] and seen[0] == 0o600


def test_links_are_followed_and_devices_written_to(files: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write_whole(tmp_path / "link", b"text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"text"
    files.write_whole(Path(os.devnull), b"text")
    assert not Path(os.devnull).is_file()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FAILED[house(files)], match="symbolic links"):
        files.write_whole(tmp_path / "loop", b"text")
    with pytest.raises(
        FAILED[house(files)], match=re.escape(f"cannot write {tmp_path} (4 bytes): Is a directory")
    ):
        files.write_whole(tmp_path, b"text")
    with pytest.raises(FULL[house(files)], match="no space left: 4 bytes wanted for /dev/full"):
        files.write_whole(Path("/dev/full"), b"text")


def test_names_of_any_length_and_bytes(files: ModuleType, tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127, os.fsdecode(b"\xff\xfe.csv"), "a\nb", ".hidden"):
        files.write_whole(tmp_path / name, lambda path: path.write_bytes(b"1"))
        files.write_whole(tmp_path / name, b"2")
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["open", "fsync", "replace", "mkdir"])
@pytest.mark.parametrize("as_function", [False, True])
def test_what_fails_is_typed_and_leaves_everything_as_it_was(
    files: ModuleType,
    number: int,
    call: str,
    as_function: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"before")
    if call == "mkdir":
        if not as_function:
            path = tmp_path / "absent" / "x.bin"
        monkeypatch.setattr(Path, "mkdir", failing(number))
    elif call == "replace":
        monkeypatch.setattr(Path, "replace", failing(number))
    elif call == "fsync":
        monkeypatch.setattr(os, "fsync", failing(number))
    elif not as_function:
        monkeypatch.setattr(os, "open", failing(number))
    data: Any = (lambda target: _raw(target, b"after")) if as_function else b"after"
    if as_function and call == "open":
        data = failing(number)
    expected = FULL if number in (errno.ENOSPC, errno.EDQUOT) else FAILED
    with pytest.raises(expected[house(files)]) as caught:
        files.write_whole(path, data, size=5)
    monkeypatch.undo()
    error: Any = caught.value
    assert (error.path, error.bytes_requested) == (str(path), 5)
    message = str(error)
    assert str(path) in message and "5 bytes" in message and "again" in message and "\n" not in message
    assert "partial" not in message
    left = {item.name: item.read_bytes() for item in tmp_path.rglob("*")}
    assert left == {"x.bin": b"before"}
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.path) == (type(error), message, str(path))


def _raw(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


def test_what_a_library_says_of_the_system_is_understood(files: ModuleType, tmp_path: Path) -> None:
    def rust(path: Path) -> None:
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    def bug(path: Path) -> None:
        raise KeyError("not of the system")

    with pytest.raises(FULL[house(files)], match="no space left: an unknown number of bytes wanted for"):
        files.write_whole(tmp_path / "x", rust)
    with pytest.raises(KeyError):
        files.write_whole(tmp_path / "x", bug)
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(tmp_path / "x", _interrupted)
    assert list(tmp_path.iterdir()) == []


def _interrupted(path: Path) -> None:
    path.write_bytes(b"half")
    raise KeyboardInterrupt


def test_a_folder_is_there_as_a_whole(files: ModuleType, tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        assert list(folder.iterdir()) == [] and folder.parent == tmp_path
        files.write_whole(folder / "members" / "0" / "a.bin", b"1")
        (folder / "record.json").write_bytes(b"{}")

    folder = tmp_path / "model"
    files.write_folder(folder, fill, last="record.json")
    assert (folder / "members" / "0" / "a.bin").read_bytes() == b"1"
    (folder / "notes.txt").write_text("the user's")
    (folder / "record.json").write_text("older")
    files.write_folder(folder, fill, last="record.json")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == ["members/0/a.bin", "notes.txt", "record.json"]
    assert (folder / "record.json").read_bytes() == b"{}" and list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_fails_changes_nothing(files: ModuleType, there: bool, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    if there:
        folder.mkdir()
        (folder / "record.json").write_text("older")

    def fill(within: Path) -> None:
        (within / "record.json").write_bytes(b"{}")
        files.write_whole(Path("/dev/full"), b"much")

    with pytest.raises(FULL[house(files)], match=re.escape(f"4 bytes wanted for {folder};")):
        files.write_folder(folder, fill, last="record.json")
    left = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))]
    assert left == (["model", "model/record.json"] if there else [])


KILLED = """
import os, signal, sys
from pathlib import Path
from {house}.whole_files import write_whole
def killed(path):
    path.write_bytes(b"half")
    (path.parent / ".tmpOfALibrary").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
write_whole(Path(sys.argv[1]), killed)
"""


def test_what_a_killed_writer_leaves_is_swept(files: ModuleType, tmp_path: Path) -> None:
    path, other = tmp_path / "x.csv", tmp_path / "y.csv"
    for target in (path, other):
        done = subprocess.run(
            [sys.executable, "-c", KILLED.format(house=house(files)), str(target)], check=False
        )
        assert done.returncode == -signal.SIGKILL
    user = tmp_path / ".x.csv.partial"
    user.touch()
    leftovers = [item for item in tmp_path.iterdir() if item != user]
    assert len(leftovers) == 2 and all(files.is_temporary(item.name) for item in leftovers)
    assert files.sweep_beside(path) == 0, "its writer may be at work"
    old = time.time() - 2 * files.LEFTOVER_SECONDS
    for item in (user, *(inner for outer in leftovers for inner in (*outer.iterdir(), outer))):
        os.utime(item, (old, old))
    files.write_whole(path, b"", sweep=True)
    path.unlink()
    assert len(list(tmp_path.iterdir())) == 2, "expected those of this file to go, and no others"
    assert files.sweep_folder(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [user]
    assert files.sweep_folder(tmp_path / "absent") == 0
