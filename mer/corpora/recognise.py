"""Recognise a corpus folder: the reader whose layout it has reads it, or the one that is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mer.clips import Split
from mer.corpora.feature_files import feature_sets
from mer.corpora.layouts import READERS, by_evidence
from mer.corpora.mmsa_pickle import pickled_sets
from mer.corpora.options import AS_FOUND, AUTO, ReadingOptions
from mer.corpora.reading import CorpusReader, Reading, RecognisedCorpus
from mer.emotions import EMOTION_SETS
from mer.errors import CorpusError


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
        emotions: the emotion set labels are mapped into, in class order; empty: every label is a class.
        options: how it is read: its format, its labels, its scale.
        name: name of the corpus; the folder's own by default.

    Raises:
        CorpusError: no such folder, nothing in it, not of the format named, or a table that cannot be read;
            says what to do.
    """
    root = Path(root).expanduser().resolve()
    if not root.is_dir():
        found = f"a file: give its folder, {root.parent}" if root.exists() else "nothing"
        raise CorpusError(f"expected a corpus folder at {root}, found {found}")
    targets = {str(to) for to in options.label_map.values() if to is not None}
    if emotions and (wrong := sorted(targets - set(emotions))):
        raise CorpusError(
            f"label map leads to {', '.join(wrong)}: expected members of {', '.join(emotions)}; --emotions says other classes"
        )
    reader, other_layouts = _reader(root, tuple(emotions), options)
    reading = reader.read(root, tuple(emotions), options)
    return RecognisedCorpus(
        name=name or root.name,
        root=root,
        format=reader.format,
        emotions=tuple(emotions),
        entries=tuple(sorted(reading.entries, key=lambda entry: entry.name)),
        left_out=reading.left_out,
        feature_sets=feature_set_names(root),
        notes=(*reading.notes, *other_layouts, *_about_classes(reading, emotions)),
    )


def feature_set_names(root: Path) -> tuple[str, ...]:
    """Names of a corpus' precomputed feature sets, which `files:<name>` reads: folders, then those of MMSA pickles."""
    return (*feature_sets(root), *sorted(pickled_sets(root)))


def _about_classes(reading: Reading, emotions: Sequence[str]) -> list[str]:
    """Classes that are the corpus' own labels; and classes of which nothing can be learnt and tested."""
    counts = Counter(
        entry.emotion for entry in reading.entries if entry.split is Split.TRAIN and entry.emotion
    )
    single = sorted(str(emotion) for emotion, count in counts.items() if count == 1)
    notes = [f"classes with a single training clip: {', '.join(single)}"] if single else []
    labels = {entry.emotion for entry in reading.entries} - {None}
    if labels and (absent := [emotion for emotion in emotions if emotion not in labels]):
        notes.append(
            f"no clip of {', '.join(absent)}, which stay classes of the model; --emotions auto takes those alone that there are"
        )
    if emotions and labels == set(emotions) and tuple(emotions) not in EMOTION_SETS.values():
        notes.append(
            f"the classes are the corpus' own labels: {', '.join(emotions)}; --emotions states others"
        )
    return notes


def _reader(root: Path, emotions: Sequence[str], options: ReadingOptions) -> tuple[CorpusReader, list[str]]:
    """The reader, and what to say about the other layouts that the folder has."""
    if options.format == AUTO:
        return by_evidence(root, emotions, options)
    named = {reader.format: reader for reader in READERS}
    if options.format not in named:
        raise CorpusError(f"unknown format {options.format!r}: expected {AUTO}, {', '.join(named)}")
    reader = named[options.format]
    if not reader.matches(root):
        raise CorpusError(f"{root} is not of the format {options.format}: expected {reader.layout}")
    return reader, []
