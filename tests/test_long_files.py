"""The list of long test files names files that are there."""

from __future__ import annotations

from pathlib import Path


def test_every_listed_file_is_there() -> None:
    listed = Path("tests/long_files.txt").read_text(encoding="utf-8").split()
    assert listed == sorted(set(listed))
    gone = [name for name in listed if not Path(name).is_file()]
    assert not gone, f"leave out of tests/long_files.txt: {gone}"
