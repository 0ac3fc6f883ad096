"""Files of the home that nobody needs: copies in the cache, work folders, logs, refused events."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from infra.artifacts import copies_kept_still, manifest_key
from infra.locking import locked_now
from infra.objects.bucket_address import CORPORA_FOLDER, STATE_FOLDER
from infra.settings import Settings
from infra.whole_files import swept
from tasks.data.passing_failures import FOLDER as FAILURES
from tasks.prune.report import Cleanup
from tasks.prune.window import Window
from tasks.stage.stage_record import settle
from tasks.stage.work_folder import clear_if_abandoned, in_use, work_folders
from tasks.stage.work_record import Prospect, prospect, read_record
from tasks.stage.workspace import Workspace

REMOVED = ".removed-"
"""How the name of a folder begins that a clean-up is about to remove."""
_COPY = re.compile(r"[0-9a-f]{64}")


def sweep_copies(space: Workspace, window: Window, cleanup: Cleanup) -> None:
    """Local copies of artifacts that are gone, or that nobody used within the window; and what half-fetched files were left."""
    cache = space.settings.cache_folder
    removed = cleanup.kind("local copies of artifacts", 0, 0)
    there = set(space.catalogue.artifact_manifests().values())
    for folder in _folders(cache):
        cleanup.check_time()
        if folder.name.startswith(REMOVED):
            cleanup.do(partial(shutil.rmtree, folder, ignore_errors=True))
        elif _COPY.fullmatch(folder.name):
            before = window.seconds if folder.name in there else window.written_before
            if _modified(folder) < before and (cleanup.dry_run or _take_copy(cache, folder, before)):
                removed.add(folder_size(folder) if cleanup.dry_run else _remove_taken(cache, folder))
    halves = cleanup.kind("half-written files", 0, 0)
    for folder in (cache, space.settings.spool_folder, space.settings.weights_folder):
        for path in folder.rglob("*.partial"):
            if _newest(path) < window.written_before:
                halves.add(folder_size(path) if path.is_dir() else _size(path))
                cleanup.do(partial(swept, path))


def _take_copy(cache: Path, folder: Path, before: float) -> bool:
    """Rename a copy out of everybody's way, if nobody began to use it meanwhile."""
    with copies_kept_still(cache):
        if _modified(folder) >= before:
            return False
        folder.rename(_taken(cache, folder))
    return True


def _taken(cache: Path, folder: Path) -> Path:
    return cache / f"{REMOVED}{folder.name}"


def _remove_taken(cache: Path, folder: Path) -> int:
    taken = _taken(cache, folder)
    size = folder_size(taken)
    shutil.rmtree(taken, ignore_errors=True)
    return size


def sweep_bucket_copies(space: Workspace, window: Window, cleanup: Cleanup) -> None:
    """Local copies of folders in buckets that no corpus of the catalogue is read from and that were not fetched within the
    window.
    """
    root = space.settings.cache_folder / CORPORA_FOLDER
    removed = cleanup.kind("local copies of buckets", 0, 0)
    read = [corpus.root for corpus in space.catalogue.corpora()]
    for folder in _folders(root):
        if folder.name == STATE_FOLDER or any(path.is_relative_to(folder) for path in read):
            continue
        cleanup.check_time()
        journal = root / STATE_FOLDER / f"{folder.name}.jsonl"
        if max(_newest(folder), _modified(journal)) >= window.seconds:
            continue
        bucket = folder.name.partition("@")[0]
        with locked_now(root / STATE_FOLDER / f"{bucket}.lock") as ours:
            if not ours:
                continue  # somebody brings it up to date
            removed.add(folder_size(folder))
            if not cleanup.dry_run:
                journal.unlink(missing_ok=True)  # first: what it says is fetched must be there
                taken = folder.with_name(f"{REMOVED}{uuid.uuid4().hex}")
                folder.rename(taken)
                shutil.rmtree(taken, ignore_errors=True)


def sweep_work(space: Workspace, window: Window, cleanup: Cleanup) -> None:
    """Work folders that no run goes on from: their artifact is there, their code is another one, or they are out of retention."""
    removed = cleanup.kind("work folders", 0, 0)
    for folder in work_folders(space.settings.checkpoint_folder):
        cleanup.check_time()
        if in_use(folder) or not _is_left(space, window, folder):
            continue
        size = folder_size(folder)
        if cleanup.dry_run or clear_if_abandoned(folder, partial(_may_go, space, window, folder)):
            removed.add(size)


def _may_go(space: Workspace, window: Window, folder: Path) -> bool:
    """The same, asked once nobody else can begin to work there; what a stage that was killed after its commit left to be recorded
    is recorded first.
    """
    if not _is_left(space, window, folder):
        return False
    ref = space.artifacts.lookup(folder.parent.name, folder.name)
    return ref is None or settle(space, folder, ref)


def _is_left(space: Workspace, window: Window, folder: Path) -> bool:
    lock = folder.with_name(f"{folder.name}.lock")
    newest = _newest(folder if folder.is_dir() else lock)
    if newest < window.seconds:
        return True
    if newest >= window.written_before:
        return False
    if not folder.is_dir():  # a kill left the lock alone
        return True
    committed = space.artifacts.objects.exists(manifest_key(folder.parent.name, folder.name))
    return committed or prospect(read_record(folder)) is Prospect.STALE


def sweep_logs(settings: Settings, window: Window, cleanup: Cleanup) -> None:
    """Tracebacks, refused events and counts of failures that are out of retention; logs of servers are cut to their length."""
    for name, folder in (
        ("tracebacks and events", settings.logs_folder),
        ("refused tracking events", settings.spool_folder / "refused"),
        ("counts of failures", settings.home / FAILURES),
    ):
        removed = cleanup.kind(name, 0, 0)
        for path in _files(folder):
            if _modified(path) < window.seconds:
                removed.add(_size(path))
                cleanup.do(partial(path.unlink, missing_ok=True))
    limit = int(settings.retention_log_megabytes * 1e6)
    cut = cleanup.kind("logs of servers cut", 0, 0)
    for path in sorted(settings.services_folder.glob("*.log")):
        if (size := _size(path)) > limit:
            cut.add(size - limit // 2)
            cleanup.do(partial(cut_log, path, limit // 2))


def cut_log(path: Path, length: int) -> None:
    """Keep the last whole lines of a log, at most `length` bytes. The server that writes it (at its end, wherever that is) goes
    on; a line that it writes in this moment may be lost.
    """
    with path.open("r+b") as log:
        log.seek(-length, os.SEEK_END)
        tail = log.read().partition(b"\n")[2]
        log.seek(0)
        log.write(tail)
        log.truncate()


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder; those that vanish meanwhile count nothing."""
    return sum(map(_size, _files(folder)))


def _folders(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    return []


def _files(*folders: Path) -> Iterator[Path]:
    for top in folders:
        for folder, _, files in os.walk(top):
            yield from (Path(folder) / name for name in files)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _newest(path: Path) -> float:
    """When a file, or what lies below a folder, was written last, in seconds since the epoch (0: it is gone)."""
    return max((_modified(path), *map(_modified, _files(path))))


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0
