"""Files that clients send, on disk for as long as their request takes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import UploadFile

from tasks.serve.uploads import shown_name, stored_suffix


@contextmanager
def stored(files: list[UploadFile]) -> Iterator[list[tuple[str, Path]]]:
    """What each client's file is called, and where its bytes lie until the block ends; no client's name is used there."""
    with tempfile.TemporaryDirectory(prefix="mer-upload-") as folder:
        written = []
        for number, file in enumerate(files):
            path = Path(folder) / f"clip{number}{stored_suffix(file.filename)}"
            with path.open("wb") as target:
                shutil.copyfileobj(file.file, target, 1 << 20)
            written.append((shown_name(file.filename), path))
        yield written
