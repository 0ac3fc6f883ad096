"""Rows of labels and files on disk -> corpus entries; every row and every file ends as an entry or is left out.

Problems of single rows leave the clip out with a reason. A clip without a media file is made of its precomputed
features, where it has any. Media without a row become unlabelled clips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mer.clips import CorpusEntry, Split
from mer.corpora.feature_files import FeatureIndex
from mer.corpora.file_of_row import FileOfRow, FilesOfRows
from mer.corpora.media_index import MediaIndex
from mer.corpora.near_names import without_folders
from mer.corpora.reading import LeftOut, Reading
from mer.corpora.rows import LabelRow
from mer.errors import CorpusError, MediaError, QuarantineReason
from mer.media.sniff import check_name, printable
from mer.media.suffixes import VIDEO_SUFFIXES

OTHER_FORMS = "files are another form of a clip (its sound beside its video): not read"
"""End of the note that counts them."""
_EXAMPLES = 5
"""Names that are shown beside a count."""
_SHOWN = 3
"""Names of rows and of files where none fits."""


def match_rows(
    rows: Sequence[LabelRow], index: MediaIndex, features: FeatureIndex, notes: Sequence[str] = ()
) -> Reading:
    """Match typed rows to media files and precomputed features.

    A row whose name is no file's gets the file that it alone is near to (`mer.corpora.near_names`); the notes list these.

    Raises:
        CorpusError: two files would get the same name.
    """
    distinct, conflicts, repeated = _without_conflicts(rows)
    files = FilesOfRows(distinct, index, features)
    entries, left_out = _match(distinct, files, index)
    _require_a_match(distinct, entries, left_out, index)
    left_out = [*conflicts, *left_out]
    extra, hidden, forms = _without_rows(index, entries, {item.name for item in left_out})
    left_out += hidden
    remarks = [*notes, *index.notes, *_about_near_names(files.near)]
    if repeated:
        remarks.append(f"{repeated} rows say again what an earlier row says")
    if rows and extra:
        remarks.append(f"{len(extra)} media files have no row: taken as unlabelled clips")
    if forms:
        remarks.append(f"{forms} {OTHER_FORMS}")
    if not index.by_stem:
        settled = {item.name for item in left_out} | {entry.name for entry in entries}
        more, unsafe = _unlabelled_features(features, features.names - settled)
        extra, left_out = [*extra, *more], [*left_out, *unsafe]
    if without := sum(bool(entry.precomputed) for entry in (*entries, *extra)):
        remarks.append(f"{without} clips have no media: their precomputed features are the clip")
    return Reading((*entries, *extra), tuple(left_out), tuple(remarks))


def unlabelled_entries(index: MediaIndex, stems: Iterable[str]) -> list[CorpusEntry]:
    """Unlabelled entries for these stems, in order; files of one name in several folders are named by their
    path.
    """
    entries: list[CorpusEntry] = []
    for stem in sorted(stems):
        try:
            media = index.choose(stem)
        except MediaError:
            entries += _unlabelled_by_path(index, sorted(index.by_stem[stem]))
            continue
        if media is not None:
            entries.append(CorpusEntry(name=stem, media=media, split=Split.UNLABELLED))
    _require_distinct(entries)
    return entries


def _unlabelled(index: MediaIndex, path: Path) -> CorpusEntry:
    """An unlabelled clip that is named by its path."""
    return CorpusEntry(name=name_of_path(path, index.root), media=path, split=Split.UNLABELLED)


def _unlabelled_by_path(index: MediaIndex, paths: Sequence[Path]) -> list[CorpusEntry]:
    """The same for files of one stem; those of one folder keep their suffixes, which alone tell them apart."""
    entries = [_unlabelled(index, path) for path in paths]
    times = Counter(entry.name for entry in entries)
    return [
        replace(entry, name="__".join(entry.media.relative_to(index.root).parts))
        if times[entry.name] > 1
        else entry
        for entry in entries
    ]


def name_of_path(path: Path, root: Path) -> str:
    """Name of a clip whose file shares its own name with another one: `a__x` for a/x.wav."""
    return "__".join(path.relative_to(root).with_suffix("").parts)


def _require_distinct(entries: Sequence[CorpusEntry]) -> None:
    times = Counter(entry.name for entry in entries)
    if twice := [name for name, count in times.items() if count > 1]:  # a__b beside a/b
        raise CorpusError(
            f"two clips would get the same name, {printable(twice[0])}: rename files so that their stems differ"
        )


def _without_rows(
    index: MediaIndex, entries: Sequence[CorpusEntry], left_out: set[str]
) -> tuple[list[CorpusEntry], list[LeftOut], int]:
    """Unlabelled entries of the files that no row has; those whose name a row has given to another file; and how many files are
    another form of a clip.

    Files of a name that is left out are left out by that name.
    """
    taken = {entry.media for entry in entries}
    names = {entry.name for entry in entries}
    free: list[str] = []
    extra: list[CorpusEntry] = []
    hidden: list[LeftOut] = []
    for stem, paths in index.by_stem.items():
        others = [path for path in paths if path not in taken]
        if len(others) < len(paths):
            extra += [_unlabelled(index, path) for path in _with_equal_claim(index, stem, others)]
        elif stem in names:
            hidden += [_hidden(index, path) for path in others]
        elif stem not in left_out:
            free.append(stem)
    extra += unlabelled_entries(index, free)
    _require_distinct([*entries, *extra])
    taken |= {entry.media for entry in extra}
    forms = sum(
        path not in taken for paths in index.by_stem.values() if not taken.isdisjoint(paths) for path in paths
    )
    return extra, hidden, forms


def _hidden(index: MediaIndex, path: Path) -> LeftOut:
    """A file whose name a row of the table gives to another file."""
    shown = printable(path.relative_to(index.root).as_posix())
    return LeftOut(
        shown,
        Path(printable(str(path))),
        QuarantineReason.AMBIGUOUS_MEDIA,
        f"the table gives the name {printable(path.stem)} to another file than {shown}: correct its path, or give {shown} a row",
    )


def _with_equal_claim(index: MediaIndex, stem: str, others: Sequence[Path]) -> list[Path]:
    """Of the files that share a stem with a clip: those that are no other form of it."""
    try:
        index.choose(stem)
    except MediaError:
        taken = set(index.by_stem[stem]) - set(others)
        videos = {path.suffix.lower() in VIDEO_SUFFIXES for path in taken}
        return [path for path in others if (path.suffix.lower() in VIDEO_SUFFIXES) in videos]
    return []


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


def _without_conflicts(rows: Sequence[LabelRow]) -> tuple[list[LabelRow], list[LeftOut], int]:
    """Drop repeated rows, and count them; names whose rows contradict each other are left out altogether.

    Rows that are named by their paths are as many clips as there are paths.
    """
    first: dict[str, LabelRow] = {}
    times: Counter[str] = Counter()
    clashing: set[str] = set()
    for row in rows:
        key = row.path if row.path and row.name == without_folders(row.path) else row.name
        times[key] += 1
        if first.setdefault(key, row).content != row.content:
            clashing.add(key)
    left_out = [
        LeftOut(
            printable(first[key].name),
            None,
            QuarantineReason.CONFLICTING_LABELS,
            f"{times[key]} rows of the table give {printable(key)} different values",
        )
        for key in first
        if key in clashing
    ]
    distinct = [row for key, row in first.items() if key not in clashing]
    return distinct, left_out, sum(times[key] - 1 for key in first if key not in clashing)


def _match(
    rows: Sequence[LabelRow], files: FilesOfRows, index: MediaIndex
) -> tuple[list[CorpusEntry], list[LeftOut]]:
    """Entries for rows with a usable file; the rest with its reason, files without a row that are unusable
    included. Rows with an exact name come first.
    """
    found: list[tuple[LabelRow, FileOfRow]] = []
    left_out = {item.name: item for item in index.left_out}
    taken: dict[Path, str] = {}
    for row in sorted(rows, key=files.is_near):
        try:
            file = files.find(row)
            if file.media in taken:
                raise MediaError(
                    QuarantineReason.CONFLICTING_LABELS,
                    f"rows {printable(taken[file.media])} and {printable(row.name)} name the same file",
                )
        except MediaError as error:
            shown = printable(row.name)
            if shown in left_out and row.path is not None:  # x of one/x.mp4, and x of two/x.mp4
                shown = printable(row.path)
            left_out.setdefault(shown, LeftOut(shown, None, error.reason, str(error)))
            continue
        taken[file.media] = row.name
        found.append((row, file))
    names = _names(found, index.root)
    entries = [_entry(row, file, names[file.media]) for row, file in found]
    return entries, list(left_out.values())


def _names(found: Sequence[tuple[LabelRow, FileOfRow]], root: Path) -> Mapping[Path, str]:
    """Names of clips by their files; clips that would share one are named by their paths."""
    times = Counter(file.name for _, file in found)
    return {
        file.media: file.name if times[file.name] == 1 else name_of_path(file.media, root)
        for _, file in found
    }


def _entry(row: LabelRow, file: FileOfRow, name: str) -> CorpusEntry:
    return CorpusEntry(
        name=name,
        media=file.media,
        precomputed=file.precomputed,
        emotion=row.emotion,
        valence=row.valence,
        speaker=row.speaker,
        transcript=row.transcript,
        split=row.split if row.split is not Split.TRAIN or row.labelled else Split.UNLABELLED,
        part=row.part,
        fold=row.fold,
        votes=row.votes,
    )


def _require_a_match(
    rows: Sequence[LabelRow], entries: Sequence[CorpusEntry], left_out: Sequence[LeftOut], index: MediaIndex
) -> None:
    """Media that no row names, and rows that name no media, are no corpus that anybody meant.

    Raises:
        CorpusError: so it is; shows names of both.
    """
    missing = sum(item.reason is QuarantineReason.MISSING_MEDIA for item in left_out)
    if entries or not rows or missing < len(rows) or not index.by_stem:
        return
    stems = sorted(index.by_stem)
    raise CorpusError(
        f"none of the {len(rows)} rows with labels fits one of the {len(stems)} media files: rows are called "
        f"{', '.join(printable(row.path or row.name) for row in rows[:_SHOWN])}, files "
        f"{', '.join(map(printable, stems[:_SHOWN]))}. Correct the names, or take the media as unlabelled clips: "
        "--format folder"
    )


def _about_near_names(near: Mapping[str, str]) -> list[str]:
    if not near:
        return []
    shown = [f"{printable(text)} -> {printable(file)}" for text, file in list(near.items())[:_EXAMPLES]]
    more = f" and {len(near) - _EXAMPLES} more" if len(near) > _EXAMPLES else ""
    return [
        f"{len(near)} names are not exactly those of files, and near to one each: {', '.join(shown)}{more}"
    ]
