"""A corpus folder with RAVDESS' clips, and a table of other rows or folds.

Files are copied: ingestion leaves links out that lead outside the corpus.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

Row = dict[str, str]


def copied_corpus(
    root: Path,
    made: Path,
    only: Callable[[Mapping[str, str]], bool] = lambda row: True,
    changed: Callable[[Row], Row] = lambda row: row,
) -> Path:
    """Write `made/ravdess`: the table's rows, their clips and features.

    Args:
        root: folder with labels.csv, audio/ and features/.
        made: where the folder is made.
        only: rows to take.
        changed: what becomes of a row.
    """
    folder = made / "ravdess"
    (folder / "audio").mkdir(parents=True)
    with (root / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [changed(dict(row)) for row in csv.DictReader(file) if only(row)]
    for row in rows:
        clip = (root / "audio" / f"{row['name']}.flac").resolve()
        shutil.copyfile(clip, folder / "audio" / clip.name)
    if (root / "features").is_dir():
        shutil.copytree(root / "features", folder / "features", copy_function=shutil.copyfile)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return folder
