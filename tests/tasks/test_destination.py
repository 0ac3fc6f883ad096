"""The file of answers: checked before anything is computed, replaced as a whole, and nothing lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mer.errors import MerError, WriteFailed
from tasks.serve.destination import Destination


def a_folder(path: Path) -> None:
    path.mkdir()


def a_file_for_a_folder(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


def read_only(path: Path) -> None:
    path.write_text("before")
    path.chmod(0o444)


def a_loop_of_links(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (a_folder, "expected a file to write, found the folder"),
        (a_file_for_a_folder, r"cannot be written: (File exists|Not a directory)"),
        (read_only, "is read-only"),
        (a_loop_of_links, "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_said_at_once(
    make: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "answers" / "x.csv"
    path.parent.mkdir()
    make(path)
    with pytest.raises(MerError, match=message) as caught:
        Destination(path)
    assert "\n" not in str(caught.value)
    left = [item.name for item in tmp_path.rglob("*.partial")]
    assert left == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said_at_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(WriteFailed, match="Permission denied"):
        Destination(tmp_path / "x.csv")


def test_the_folder_is_made_and_the_file_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.csv"
    destination = Destination(path)
    assert list(path.parent.iterdir()) == []
    destination.write("one\u00e9\n")
    assert path.read_bytes() == b"one\xc3\xa9\n"
    path.chmod(0o640)
    before = path.stat().st_ino
    with path.open(encoding="utf-8") as reader:
        Destination(path).write("two\n")
        assert reader.read() == "one\u00e9\n", "a reader saw the file change"
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two\n", 0o640)
    assert path.stat().st_ino != before and list(path.parent.iterdir()) == [path]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "x.csv").symlink_to(tmp_path / "real.csv")
    Destination(tmp_path / "x.csv").write("text")
    assert (tmp_path / "x.csv").is_symlink() and (tmp_path / "real.csv").read_text() == "text"


FULL = """
import resource, sys
from pathlib import Path
from mer.errors import WriteFailed
from tasks.serve.destination import Destination
path = Path(sys.argv[1])
def limit(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
try:
    limit(int(sys.argv[2]))
    destination = Destination(path)
    print("computing")
    limit(int(sys.argv[3]))
    destination.write("x" * 20_000)
except WriteFailed as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("first", "then", "computed"), [(1000, 1000, False), (10_000, 10_000, True)], ids=["before", "after"]
)
def test_without_space_the_earlier_file_stays(first: int, then: int, computed: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("before")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(first), str(then)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("computing" in done.stdout) == computed
    assert "cannot be written" in done.stdout and "File too large" in done.stdout
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_answers_that_find_no_space_are_kept_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "x.csv").symlink_to("/dev/full")
    with pytest.raises(WriteFailed, match=r"cannot be written \(5000 bytes\): No space left") as caught:
        Destination(tmp_path / "x.csv").write("y" * 5000)
    (where,) = re.findall(r"they are in (\S+) instead", str(caught.value))
    assert Path(where).read_text() == "y" * 5000 and where.endswith(".csv")
    Path(where).unlink()
