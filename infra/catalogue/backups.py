"""Backups by name: `catalogue-<number>-<time>.jsonl.gz`, the higher number being the newer, whatever the clock said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"catalogue-(\d{6,})-[0-9TZ]+\.jsonl\.gz")


class Backup(NamedTuple):
    """A backup's file; they sort by age."""

    number: int
    path: Path


def backups_in(folder: Path) -> list[Backup]:
    """Backups in a folder, oldest first; none where there is no folder."""
    try:
        found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    except OSError:
        return []
    return sorted(Backup(int(match[1]), path) for match, path in found)


def next_backup(folder: Path, time: str) -> Path:
    """Where the next backup goes; `time` is for people (e.g. 20261129T231500Z)."""
    number = max((backup.number for backup in backups_in(folder)), default=0) + 1
    return folder / f"catalogue-{number:06d}-{time}.jsonl.gz"
