"""Recognise a corpus folder: the first reader whose layout it has reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.corpora.folder import FolderReader
from mer.corpora.reading import CorpusReader, LabelMap, RecognisedCorpus
from mer.corpora.table import TableReader
from mer.errors import CorpusError

READERS: tuple[CorpusReader, ...] = (TableReader(), FolderReader())
"""Asked in this order; the most particular layouts first."""


def recognise(
    root: Path, *, emotions: Sequence[str], label_map: LabelMap | None = None, name: str | None = None
) -> RecognisedCorpus:
    """Read the corpus below `root`, whatever known layout it has.

    Args:
        root: folder of the corpus.
        emotions: the emotion set labels are mapped into, in class order.
        label_map: the corpus' own labels -> emotions (None: no label), before the common synonyms.
        name: name of the corpus; the folder's own by default.

    Raises:
        CorpusError: no such folder, nothing in it, or a table that cannot be read; says what to do.
    """
    root = root.expanduser().resolve()
    if not root.is_dir():
        raise CorpusError(
            f"expected a corpus folder at {root}, found {'a file' if root.exists() else 'nothing'}"
        )
    labels = dict(label_map or {})
    if wrong := sorted({str(to) for to in labels.values() if to is not None and to not in emotions}):
        raise CorpusError(f"label map leads to {', '.join(wrong)}: expected members of {', '.join(emotions)}")
    reader = next(reader for reader in READERS if reader.matches(root))
    reading = reader.read(root, tuple(emotions), labels)
    return RecognisedCorpus(
        name=name or root.name,
        root=root,
        format=reader.format,
        emotions=tuple(emotions),
        entries=tuple(sorted(reading.entries, key=lambda entry: entry.name)),
        left_out=reading.left_out,
        feature_sets=_feature_sets(root),
        notes=reading.notes,
    )


def _feature_sets(root: Path) -> tuple[str, ...]:
    folder = root / "features"
    if not folder.is_dir():
        return ()
    return tuple(
        sorted(item.name for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
    )
