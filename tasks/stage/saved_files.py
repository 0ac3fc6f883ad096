"""Files of a folder that a stage has written, under the names that an artifact has them by."""

from __future__ import annotations

from pathlib import Path


def files_below(folder: Path, under: str = "") -> dict[str, Path | bytes]:
    """Name -> file, of all files below `folder`, those of its subfolders too.

    Args:
        folder: what was written.
        under: folder within the artifact; empty: its top.
    """
    start = f"{under}/" if under else ""
    return {
        f"{start}{path.relative_to(folder).as_posix()}": path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
