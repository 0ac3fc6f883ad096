"""One table and media files: `labels.csv` or `labels.parquet` with `name` or `path` and any of the known
columns.

Media are found by name (file stem) below the root, or by `path`. Media without a row become unlabelled clips.
Problems of single rows leave the clip out with a reason; problems of the table (an unknown label, a column
that is no number) are collected and raised together, because guessing at labels would poison a training set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mer.clips import CorpusEntry, Split
from mer.corpora.folder import unlabelled_entries
from mer.corpora.media_index import MediaIndex, check_inside, index_media
from mer.corpora.reading import LabelMap, LeftOut, Reading
from mer.corpora.rows import LabelRow, parse_rows
from mer.corpora.table_file import read_cells
from mer.errors import CorpusError, MediaError, QuarantineReason
from mer.media.sniff import check_name, printable

TABLE_SUFFIXES = (".csv", ".parquet", ".tsv")


class TableReader:
    """Format F of the project's list of layouts: anything that brings one table."""

    format = "table"

    def matches(self, root: Path) -> bool:
        """A table lies in the root."""
        return bool(_tables(root))

    def read(self, root: Path, emotions: Sequence[str], label_map: LabelMap) -> Reading:
        """Match rows to media files.

        Raises:
            CorpusError: two tables, an unreadable one, or all problems of its cells in one message.
        """
        tables = _tables(root)
        if len(tables) > 1:
            found = ", ".join(table.name for table in tables)
            raise CorpusError(f"expected one table in {root}, found {found}: call the one to use labels.csv")
        rows, notes = parse_rows(read_cells(tables[0]), tables[0].name, emotions, label_map)
        index = index_media(root)
        rows, conflicts = _without_conflicts(rows)
        entries, left_out = _match(rows, index)
        used = {entry.media for entry in entries}
        rest = {
            stem
            for stem, paths in index.by_stem.items()
            if used.isdisjoint(paths) and stem not in {item.name for item in (*left_out, *conflicts)}
        }
        extra = unlabelled_entries(index, rest)
        taken = {entry.name for entry in entries}
        extra = [entry for entry in extra if entry.name not in taken]
        if extra:
            notes.append(f"{len(extra)} media files have no row: taken as unlabelled clips")
        return Reading((*entries, *extra), (*conflicts, *left_out), (*notes, *index.notes))


def _tables(root: Path) -> list[Path]:
    """The table called labels, or else every table in the root."""
    found = sorted(path for path in root.iterdir() if path.suffix in TABLE_SUFFIXES and path.is_file())
    return [path for path in found if path.stem == "labels"] or found


def _without_conflicts(rows: list[LabelRow]) -> tuple[list[LabelRow], list[LeftOut]]:
    """Drop repeated rows; names whose rows contradict each other are left out altogether."""
    first: dict[str, LabelRow] = {}
    clashing: Counter[str] = Counter()
    for row in rows:
        kept = first.setdefault(row.name, row)
        if kept.content != row.content:
            clashing[row.name] += 1
    left_out = [
        LeftOut(
            printable(name),
            None,
            QuarantineReason.CONFLICTING_LABELS,
            f"{count + 1} rows of the table give {printable(name)} different values",
        )
        for name, count in clashing.items()
    ]
    return [row for name, row in first.items() if name not in clashing], left_out


def _match(rows: list[LabelRow], index: MediaIndex) -> tuple[list[CorpusEntry], list[LeftOut]]:
    """Entries for rows with a usable file; the rest with its reason, files without a row that are unusable
    included.
    """
    entries: list[CorpusEntry] = []
    left_out = {item.name: item for item in index.left_out}
    taken: dict[Path, str] = {}
    for row in rows:
        try:
            media = _find(row, index)
            if media in taken:
                raise MediaError(
                    QuarantineReason.CONFLICTING_LABELS,
                    f"rows {taken[media]} and {row.name} name the same file",
                )
        except MediaError as error:
            shown = printable(row.name)
            left_out.setdefault(shown, LeftOut(shown, None, error.reason, str(error)))
            continue
        taken[media] = row.name
        entries.append(
            CorpusEntry(
                name=row.name,
                media=media,
                emotion=row.emotion,
                valence=row.valence,
                speaker=row.speaker,
                transcript=row.transcript,
                split=row.split if row.split is not Split.TRAIN or row.labelled else Split.UNLABELLED,
                fold=row.fold,
            )
        )
    return entries, list(left_out.values())


def _find(row: LabelRow, index: MediaIndex) -> Path:
    check_name(row.name)
    if row.path is None:
        media = index.choose(row.name)
        if media is None:
            raise MediaError(
                QuarantineReason.MISSING_MEDIA, f"no media file called {row.name} below the corpus folder"
            )
        return media
    relative = PurePosixPath(row.path)
    if relative.is_absolute() or ".." in relative.parts:
        raise MediaError(
            QuarantineReason.OUTSIDE_ROOT,
            f"path {printable(row.path)} leads out of the corpus folder: make it relative",
        )
    media = index.root / relative
    check_name(media.name)
    check_inside(media, index.root)
    return media
