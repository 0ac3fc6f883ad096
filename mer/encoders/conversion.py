"""Folders of weights that were converted once: a record, written last, says what was written, so a damaged one is made again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mer.encoders.weight_files import read_json, sha256_remembered
from mer.whole_files import write_whole

RECORD = "conversion.json"


def write_record(folder: Path, tensors: str) -> None:
    """Write the record of a conversion whose tensors are the file `tensors`."""
    with (folder / tensors).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    write_whole(folder / RECORD, json.dumps({"sha256": digest}).encode())


def is_unchanged(folder: Path, tensors: str, cache: Path) -> bool:
    """Whether the folder is a finished conversion whose tensors are as they were written."""
    if not (folder / tensors).is_file() or not (folder / RECORD).is_file():
        return False
    return read_json(folder / RECORD).get("sha256") == sha256_remembered(folder / tensors, cache)
