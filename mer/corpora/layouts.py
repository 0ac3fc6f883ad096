"""All layouts, and which one a folder has: that of a particular file, or else the one that labels most of its media."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mer.corpora.challenge import MER2023, MER2024, MER2025, MER2026
from mer.corpora.class_folders import ClassFoldersReader
from mer.corpora.emobox import EmoBoxReader
from mer.corpora.filenames import CREMA_D, EMO_DB, RAVDESS
from mer.corpora.folder import FolderReader
from mer.corpora.iemocap import IemocapReader
from mer.corpora.media_index import media_files
from mer.corpora.meld import MeldReader
from mer.corpora.mertools import MertoolsReader
from mer.corpora.mmsa import MmsaPickleReader, MmsaReader
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import CorpusReader
from mer.corpora.splits import split_of
from mer.corpora.table import LABELS, TableReader, tables_of

PARTICULAR: tuple[CorpusReader, ...] = (
    MertoolsReader(), MER2023, MER2024, MER2025, MER2026, MmsaReader(), MeldReader(), IemocapReader(), EmoBoxReader(),
)  # fmt: skip
"""Layouts known by particular files; asked in this order."""

_TABLE, _FOLDER, _PICKLES = TableReader(), FolderReader(), MmsaPickleReader()
BY_MEDIA = (RAVDESS, CREMA_D, EMO_DB, ClassFoldersReader())
"""Layouts known by the names of media and of their folders; of equally good ones the first."""

READERS: tuple[CorpusReader, ...] = (*PARTICULAR, _TABLE, _PICKLES, *BY_MEDIA, _FOLDER)

_LEAST_FOLDERS, _MOST_FOLDERS, _LEAST_CLIPS = 2, 20, 2
"""Folders side by side that may be classes, and clips that each of them has."""
_KINDS_OF_MEDIA = frozenset(
    {"audio", "audios", "clips", "media", "video", "videos", "wav", "wavs", "mp4", "mp3", "flac"}
)
_SHOWN = 6

_STRAY = 0.5
"""A table that labels less than this share of what names label is not the corpus' table, unless it is called labels."""


def by_evidence(
    root: Path, emotions: Sequence[str], options: ReadingOptions
) -> tuple[CorpusReader, list[str]]:
    """The reader of a folder, and notes on other layouts that it could have.

    Without a particular file it is a table, or the names of media or of their folders, whichever labels more of the media. A
    table that is usable and called labels is always taken.
    """
    particular = [reader for reader in PARTICULAR if reader.matches(root)]
    if particular:
        return particular[0], _could_be([reader.format for reader in particular[1:]])
    media = list(media_files(root))
    counts = [(reader.labelled(root, media, emotions, options), reader) for reader in BY_MEDIA]
    labelled, best = max(counts, key=lambda item: item[0])
    others = [reader.format for count, reader in counts if count and reader is not best]
    if not _TABLE.matches(root):
        if labelled:
            return best, _could_be(others)
        return (_PICKLES, []) if _PICKLES.matches(root) else (_FOLDER, _could_have_labels(root, media))
    by_table = _TABLE.labelled(root, media, emotions, options)
    tables = tables_of(root)
    if labelled and (by_table < _STRAY * labelled and not (by_table and _is_called_labels(tables))):
        ignored = ", ".join(table.name for table in tables)
        return best, [
            f"{ignored}: not used, it labels {by_table} of {len(media)} media files and their names {labelled}; --format table "
            "reads it",
            *_could_be(others),
        ]
    if not by_table and _PICKLES.matches(root):
        return _PICKLES, [f"{tables[0].name}: not used, it labels no clip; --format table reads it"]
    if media and not _TABLE.has_labels(root) and not _TABLE.named(root, media):
        ignored = ", ".join(table.name for table in tables)
        return _FOLDER, [
            f"{ignored}: not used, it has neither labels nor names of media files; --format table reads it"
        ]
    return _TABLE, _could_be([best.format] if labelled else [])


def _is_called_labels(tables: Sequence[Path]) -> bool:
    return len(tables) == 1 and tables[0].stem.lower() == LABELS


def _could_be(formats: Sequence[str]) -> list[str]:
    return (
        [f"it also looks like {', '.join(formats)}: --format {' or '.join(formats)} reads it as that"]
        if formats
        else []
    )


def _could_have_labels(root: Path, media: Sequence[Path]) -> list[str]:
    """Labels that the names of a folder without any may be."""
    return _of_named_files(media) or _of_folders(root, media)


def _of_folders(root: Path, media: Sequence[Path]) -> list[str]:
    """Folders side by side, each with several clips, that are no split and no kind of media: perhaps one per class."""
    parts = [path.relative_to(root).parts for path in media]
    folders = Counter(part[0] for part in parts if len(part) > 1)
    told = [name for name in folders if split_of(name) is not None or name.lower() in _KINDS_OF_MEDIA]
    if told or not _LEAST_FOLDERS <= len(folders) <= _MOST_FOLDERS or min(folders.values()) < _LEAST_CLIPS:
        return []
    listed = ", ".join(f"{name} {count}" for name, count in sorted(folders.items())[:_SHOWN])
    more = f" and {len(folders) - _SHOWN} more" if len(folders) > _SHOWN else ""
    return [f"clips by folder: {listed}{more}; if the folders are the labels: --format class_folders"]


def _of_named_files(media: Sequence[Path]) -> list[str]:
    """Formats of which some files have the names, too few to take the folder for one."""
    counts = {
        reader.format: sum(reader.pattern.fullmatch(path.stem) is not None for path in media)
        for reader in (RAVDESS, CREMA_D, EMO_DB)
    }
    return [
        f"{count} of {len(media)} media files are named as in {format}: --format {format} takes their labels"
        for format, count in counts.items()
        if count
    ]
