"""How much of the disk each part of the home takes, and what is left of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rich.markup import escape

from infra.settings import Settings
from tasks.prune.databases import database_files
from tasks.stage.workspace import Workspace

SECONDS = 2.0
"""Longest time that is spent on adding up files."""
_LOOKED_EVERY = 256


def disk(space: Workspace) -> Iterator[str]:
    """One line: bytes of each part, and what is free; `at least` where there was no time to see all files."""
    deadline = time.monotonic() + SECONDS
    parts = []
    for name, paths in _parts(space.settings).items():
        size, complete = bytes_below(paths, deadline)
        if size or not complete:
            parts.append(f"{escape(name)} {'' if complete else 'at least '}{shown_size(size)}")
    free = shown_size(shutil.disk_usage(space.settings.home).free)
    yield f"[bold]disk[/] {', '.join(parts) or 'nothing yet'}; {free} free"
    if not space.settings.retention_days:
        yield "  nothing is ever removed (MER_RETENTION_DAYS=0); `mer prune --older-than DAYS --dry-run` says what could be"


def bytes_below(paths: list[Path], deadline: float) -> tuple[int, bool]:
    """Bytes of files and of folders with all that is below them, and whether all were seen by `deadline` (monotonic seconds)."""
    size = 0
    for top in paths:
        if top.is_file():
            size += top.stat().st_size
            continue
        for seen, path in enumerate(_files(top)):
            if seen % _LOOKED_EVERY == 0 and time.monotonic() > deadline:
                return size, False
            try:
                size += path.lstat().st_size
            except OSError:  # removed meanwhile
                continue
    return size, True


def shown_size(size: float) -> str:
    """`1.2 GB`, as disks are sold."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _parts(settings: Settings) -> dict[str, list[Path]]:
    home = settings.home
    databases = [
        file.with_name(file.name + more)
        for file in database_files(settings).values()
        for more in ("", "-wal", "-shm")
    ]
    store = urlsplit(settings.object_store_url)
    parts = {"objects": [Path(unquote(store.path))]} if store.scheme == "file" else {}
    return parts | {
        "databases": databases,
        "work": [settings.checkpoint_folder],
        "weights": [settings.weights_folder],
        "figures": [home / "mlflow" / "artifacts"],
        "logs": [settings.logs_folder, *sorted(settings.services_folder.glob("*.log"))],
        "waiting events": [settings.spool_folder],
        "data": [settings.data_folder],
        "copies": [settings.cache_folder],
    }


def _files(top: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(top):
        yield from (Path(folder) / name for name in files)
