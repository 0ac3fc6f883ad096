"""Recognise a corpus folder: the first reader whose layout it has reads it, or the one that is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.corpora.challenge import MER2023, MER2024, MER2025, MER2026
from mer.corpora.feature_files import feature_sets
from mer.corpora.filenames import CREMA_D, EMO_DB, RAVDESS
from mer.corpora.folder import FolderReader
from mer.corpora.iemocap import IemocapReader
from mer.corpora.meld import MeldReader
from mer.corpora.mertools import MertoolsReader
from mer.corpora.mmsa import MmsaPickleReader, MmsaReader
from mer.corpora.mmsa_pickle import pickled_sets
from mer.corpora.options import AS_FOUND, AUTO, ReadingOptions
from mer.corpora.reading import CorpusReader, RecognisedCorpus
from mer.corpora.table import TableReader
from mer.errors import CorpusError

PARTICULAR: tuple[CorpusReader, ...] = (
    MertoolsReader(), MER2023, MER2024, MER2025, MER2026, MmsaReader(), MeldReader(), IemocapReader(),
)  # fmt: skip
"""Layouts known by particular files."""
READERS: tuple[CorpusReader, ...] = (
    *PARTICULAR, TableReader(), MmsaPickleReader(), RAVDESS, CREMA_D, EMO_DB, FolderReader(),
)  # fmt: skip
"""Asked in this order; the most particular layouts first."""


def recognise(
    root: str | Path,
    *,
    emotions: Sequence[str],
    options: ReadingOptions = AS_FOUND,
    name: str | None = None,
) -> RecognisedCorpus:
    """Read the corpus below `root`, whatever known layout it has.

    Args:
        root: folder of the corpus.
        emotions: the emotion set labels are mapped into, in class order.
        options: how it is read: its format, its labels, its scale.
        name: name of the corpus; the folder's own by default.

    Raises:
        CorpusError: no such folder, nothing in it, not of the format named, or a table that cannot be read;
            says what to do.
    """
    root = Path(root).expanduser().resolve()
    if not root.is_dir():
        raise CorpusError(
            f"expected a corpus folder at {root}, found {'a file' if root.exists() else 'nothing'}"
        )
    if wrong := sorted(
        {str(to) for to in options.label_map.values() if to is not None and to not in emotions}
    ):
        raise CorpusError(f"label map leads to {', '.join(wrong)}: expected members of {', '.join(emotions)}")
    reader = _reader(root, options.format)
    reading = reader.read(root, tuple(emotions), options)
    return RecognisedCorpus(
        name=name or root.name,
        root=root,
        format=reader.format,
        emotions=tuple(emotions),
        entries=tuple(sorted(reading.entries, key=lambda entry: entry.name)),
        left_out=reading.left_out,
        feature_sets=feature_set_names(root),
        notes=(*reading.notes, *(_other_layouts(root, reader) if options.format == AUTO else ())),
    )


def feature_set_names(root: Path) -> tuple[str, ...]:
    """Names of a corpus' precomputed feature sets, which `files:<name>` reads: folders, then those of MMSA pickles."""
    return (*feature_sets(root), *sorted(pickled_sets(root)))


def _reader(root: Path, format: str) -> CorpusReader:
    if format == AUTO:
        return next(reader for reader in READERS if reader.matches(root))
    named = {reader.format: reader for reader in READERS}
    if format not in named:
        raise CorpusError(f"unknown format {format!r}: expected {AUTO}, {', '.join(named)}")
    if not named[format].matches(root):
        raise CorpusError(f"{root} is not of the format {format}: expected {named[format].layout}")
    return named[format]


def _other_layouts(root: Path, chosen: CorpusReader) -> list[str]:
    others = [reader.format for reader in PARTICULAR if reader is not chosen and reader.matches(root)]
    return [f"it also looks like {', '.join(others)}: --format reads it as that"] if others else []
