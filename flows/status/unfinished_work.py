"""Stages that are at work, and those that were left unfinished: whether the next run goes on from them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape

from infra.artifacts import manifest_key
from tasks.stage.work_folder import in_use, work_folders
from tasks.stage.work_record import Prospect, WorkRecord, prospect, read_record
from tasks.stage.workspace import Workspace


def unfinished_work(space: Workspace) -> Iterator[str]:
    """One line for all stages at work, one for each that a run can go on from, one for all that nobody can tell, one for all that
    no run goes on from.
    """
    folders = work_folders(space.settings.checkpoint_folder)
    running = {folder for folder in folders if in_use(folder)}
    if running:
        counts = Counter(folder.parent.name for folder in sorted(running))
        shown = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        yield f"at work now, or waiting for their turn: {shown}"
    stale: Counter[str] = Counter()
    undescribed: Counter[str] = Counter()
    for folder in folders:
        if folder in running or not folder.is_dir():
            continue
        if _is_stale(space, folder):
            stale[folder.parent.name] += 1
        elif (record := read_record(folder)) is None:
            undescribed[folder.parent.name] += 1
        else:
            yield _line(folder, record)
    if undescribed:
        shown = ", ".join(f"{count} {kind}" for kind, count in undescribed.items())
        yield f"unfinished: {shown} (of an earlier version: a run with the same code and recipe goes on from them)"
    if stale:
        shown = ", ".join(f"{count} {kind}" for kind, count in stale.items())
        yield (
            f"stale: {shown} (their code has changed, or their work was done elsewhere: no run goes on from them; `mer prune` "
            f"removes them once they are {space.settings.retention_grace_hours:g} hours old)"
        )


def _is_stale(space: Workspace, folder: Path) -> bool:
    """Whether no run will go on from it: its artifact is there, or its code is another one."""
    committed = space.artifacts.objects.exists(manifest_key(folder.parent.name, folder.name))
    return committed or prospect(read_record(folder)) is Prospect.STALE


def _line(folder: Path, record: WorkRecord) -> str:
    shown = f"unfinished: {escape(record.label)} {folder.name[:12]}"
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started))
    run = f" of {escape(record.run)}" if record.run else ""
    return f"{shown}{run}, begun {begun} (the next equal run goes on from its checkpoint)"
