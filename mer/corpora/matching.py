"""Rows of labels and files on disk -> corpus entries; every row and every file ends as an entry or is left out.

Problems of single rows leave the clip out with a reason. A clip without a media file is made of its precomputed
features, where it has any. Media without a row become unlabelled clips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from mer.clips import CorpusEntry, Split
from mer.corpora.feature_files import FeatureIndex
from mer.corpora.media_index import MediaIndex, check_inside
from mer.corpora.reading import LeftOut, Reading
from mer.corpora.rows import LabelRow
from mer.errors import CorpusError, MediaError, QuarantineReason
from mer.media.sniff import check_name, printable


def match_rows(
    rows: Sequence[LabelRow], index: MediaIndex, features: FeatureIndex, notes: Sequence[str] = ()
) -> Reading:
    """Match typed rows to media files and precomputed features.

    Raises:
        CorpusError: two files would get the same name.
    """
    rows, conflicts = _without_conflicts(rows)
    entries, left_out = _match(rows, index, features)
    settled = {item.name for item in (*left_out, *conflicts)} | {entry.name for entry in entries}
    used = {entry.media for entry in entries}
    stems = {stem for stem, paths in index.by_stem.items() if used.isdisjoint(paths)} - settled
    extra = [entry for entry in unlabelled_entries(index, stems) if entry.name not in settled]
    remarks = [*notes, *index.notes]
    if rows and extra:
        remarks.append(f"{len(extra)} media files have no row: taken as unlabelled clips")
    if not index.by_stem:
        more, unsafe = _unlabelled_features(features, features.names - settled)
        extra, left_out = [*extra, *more], [*left_out, *unsafe]
    if without := sum(bool(entry.precomputed) for entry in (*entries, *extra)):
        remarks.append(f"{without} clips have no media: their precomputed features are the clip")
    return Reading((*entries, *extra), (*conflicts, *left_out), tuple(remarks))


def unlabelled_entries(index: MediaIndex, stems: Iterable[str]) -> list[CorpusEntry]:
    """Unlabelled entries for these stems, in order; files of one name in several folders are named by their
    path.
    """
    entries: list[CorpusEntry] = []
    for stem in sorted(stems):
        try:
            media = index.choose(stem)
        except MediaError:
            for path in sorted(index.by_stem[stem]):
                name = "__".join(path.relative_to(index.root).with_suffix("").parts)
                entries.append(CorpusEntry(name=name, media=path, split=Split.UNLABELLED))
            continue
        if media is not None:
            entries.append(CorpusEntry(name=stem, media=media, split=Split.UNLABELLED))
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):  # a__b beside a/b
        raise CorpusError("two clips would get the same name: rename files so that their stems differ")
    return entries


def _unlabelled_features(
    features: FeatureIndex, names: Iterable[str]
) -> tuple[list[CorpusEntry], list[LeftOut]]:
    entries: list[CorpusEntry] = []
    left_out: list[LeftOut] = []
    for name in sorted(names):
        try:
            check_name(name)
        except MediaError as error:
            left_out.append(LeftOut(printable(name), None, error.reason, str(error)))
            continue
        if files := features.files(name):
            address = features.address(name)
            entries.append(CorpusEntry(name=name, media=address, precomputed=files, split=Split.UNLABELLED))
    return entries, left_out


def _without_conflicts(rows: Sequence[LabelRow]) -> tuple[list[LabelRow], list[LeftOut]]:
    """Drop repeated rows; names whose rows contradict each other are left out altogether."""
    first: dict[str, LabelRow] = {}
    clashing: Counter[str] = Counter()
    for row in rows:
        earliest = first.setdefault(row.name, row)
        if earliest.content != row.content:
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


def _match(
    rows: Sequence[LabelRow], index: MediaIndex, features: FeatureIndex
) -> tuple[list[CorpusEntry], list[LeftOut]]:
    """Entries for rows with a usable file; the rest with its reason, files without a row that are unusable
    included.
    """
    entries: list[CorpusEntry] = []
    left_out = {item.name: item for item in index.left_out}
    taken: dict[Path, str] = {}
    for row in rows:
        try:
            media, precomputed = _find(row, index, features)
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
                precomputed=precomputed,
                emotion=row.emotion,
                valence=row.valence,
                speaker=row.speaker,
                transcript=row.transcript,
                split=row.split if row.split is not Split.TRAIN or row.labelled else Split.UNLABELLED,
                part=row.part,
                fold=row.fold,
            )
        )
    return entries, list(left_out.values())


def _find(row: LabelRow, index: MediaIndex, features: FeatureIndex) -> tuple[Path, tuple[Path, ...]]:
    check_name(row.name)
    if row.path is not None:
        return _inside(row.path, index.root), ()
    media = index.choose(row.name)
    if media is not None:
        return media, ()
    files = features.files(row.name)
    if not files:
        raise MediaError(
            QuarantineReason.MISSING_MEDIA,
            f"no media file called {row.name} below the corpus folder, and no precomputed features of it",
        )
    return features.address(row.name), files


def _inside(path: str, root: Path) -> Path:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts:
        raise MediaError(
            QuarantineReason.OUTSIDE_ROOT,
            f"path {printable(path)} leads out of the corpus folder: make it relative",
        )
    media = root / relative
    check_name(media.name)
    check_inside(media, root)
    return media
