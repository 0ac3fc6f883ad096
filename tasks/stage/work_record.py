"""What an unfinished stage's folder belongs to, in a file beside its checkpoints: whether a run will ever go on from it.

A folder is named by a hash, which says nothing. The record says which stage of which run works there and with which code: once
that code is another one, no run asks for the key again.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from infra.whole_files import write_whole
from tasks.stage.code_version import roots_of, version_of

RECORD = "work.json"


@dataclass(frozen=True)
class WorkRecord:
    """What a stage's work folder is for."""

    label: str
    """Stage, as it is shown."""
    run: str
    """Tracked run that it was begun for; empty: none."""
    code: str
    """Version of the code that computes it; empty: not known."""
    roots: tuple[str, ...]
    """What that code is, as `module:qualified name`; empty: not known."""
    started: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, label: str, run: str | None, code: str) -> WorkRecord:
        """The record of work that begins now."""
        return cls(label, run or "", code, roots_of(code), time.time())


class Prospect(StrEnum):
    """Whether a run will go on from what a stage left."""

    RESUMABLE = "resumable"
    """Its code is today's: the run that asked for it asks for it again."""
    UNKNOWN = "unknown"
    """It has no record (of an earlier version, or killed before it was written)."""
    STALE = "stale"
    """Its code is another one: no run asks for it again."""


def describe_work(folder: Path, record: WorkRecord) -> None:
    """Leave the record in the work folder; one that an earlier start left there stays, so that the folder keeps its age."""
    path = folder / RECORD
    if read_record(folder) is None:
        write_whole(path, json.dumps(asdict(record)).encode())


def read_record(folder: Path) -> WorkRecord | None:
    """The record of a work folder; None: it has none that can be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        values: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return WorkRecord(**{**values, "roots": tuple(values["roots"]), "started": float(values["started"])})
    return None


def prospect(record: WorkRecord | None) -> Prospect:
    """Whether today's code would ask for the work again."""
    if record is None or not record.code or not record.roots:
        return Prospect.UNKNOWN
    try:
        same = version_of(record.roots) == record.code
    except (OSError, ModuleNotFoundError, LookupError, SyntaxError):  # what computed it is gone
        same = False
    return Prospect.RESUMABLE if same else Prospect.STALE
