"""The record of a saved system: which kind wrote the folder."""

from __future__ import annotations

import json
from pathlib import Path

from mer.errors import UNREADABLE, WeightsError
from mer.whole_files import write_whole

RECORD = "system.json"
_BEFORE_RECORDS = {"fusion.safetensors": "neural"}
"""File -> kind that wrote it, of folders from before there were records (0.1.0 and 0.2.0)."""


def write_record(folder: Path, kind: str) -> None:
    """Write the record, after all else."""
    write_whole(folder / RECORD, (json.dumps({"kind": kind}) + "\n").encode())


def recorded_kind(folder: Path) -> str:
    """Name of the kind that saved a system in `folder`.

    Raises:
        WeightsError: no saved system, or a record that says no kind.
    """
    path = folder / RECORD
    if not path.is_file():
        for name, kind in _BEFORE_RECORDS.items():
            if (folder / name).is_file():
                return kind
        raise WeightsError(
            f"{folder}: expected a saved system ({RECORD}), found none; give the folder that `save` wrote"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        raise WeightsError(f"{path}: expected JSON, found {error!r}; save the system again") from error
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        raise WeightsError(f'{path}: expected {{"kind": NAME}}, found {record!r}; save the system again')
    return str(record["kind"])
