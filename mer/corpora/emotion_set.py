"""The emotion set of a corpus: a list that somebody gives, or the labels that the corpus has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mer.corpora.layouts import BY_MEDIA, by_evidence
from mer.corpora.options import AUTO, ReadingOptions
from mer.corpora.recognise import recognise
from mer.emotions import EMOTION_SETS, canonical_emotion
from mer.errors import ConfigError, CorpusError

AUTO_EMOTIONS = "auto"
"""The classes are the corpus' own labels."""
LEAST_CLASSES, LEAST_CLIPS = 2, 2
"""Classes that a set needs, and clips that each of these needs where the labels are cells of a table: others may be misspelt."""
_NAMED_FORMATS = frozenset(reader.format for reader in BY_MEDIA)
"""Layouts whose labels are names of files or folders, which somebody chose: one clip is a class to catalogue."""


@dataclass(frozen=True)
class EmotionSet:
    """Classes in index order, and clips of each."""

    emotions: tuple[str, ...]
    clips: Mapping[str, int]


def parse_emotions(text: str) -> tuple[str, ...]:
    """Classes of a list as people write it, `calm,tense`, or of a set by its name.

    Raises:
        ConfigError: fewer than two classes, or a class twice.
    """
    if text in EMOTION_SETS:
        return EMOTION_SETS[text]
    emotions = tuple(filter(None, (entry.strip() for entry in text.split(","))))
    if len(emotions) < LEAST_CLASSES or len(set(emotions)) < len(emotions):
        raise ConfigError(
            f"emotions: expected {AUTO_EMOTIONS}, one of {', '.join(EMOTION_SETS)}, or at least {LEAST_CLASSES} different "
            f"classes A,B,..., found {text!r}"
        )
    return emotions


def emotions_of(root: str | Path, options: ReadingOptions) -> EmotionSet:
    """The labels of a corpus as classes, in alphabetical order: in lower case, with `_` for blanks.

    Raises:
        CorpusError: the corpus cannot be read, or fewer than two of its labels have two clips (one, where names of files or
            folders are the labels).
    """
    corpus = recognise(root, emotions=(), options=options)
    clips = Counter(entry.emotion for entry in corpus.entries if entry.emotion is not None)
    least = 1 if corpus.format in _NAMED_FORMATS else LEAST_CLIPS
    if sum(count >= least for count in clips.values()) < LEAST_CLASSES:
        counts = ", ".join(f"{label} {count}" for label, count in sorted(clips.items())) or "none"
        folders = sorted(
            {entry.media.parent.name for entry in corpus.entries if entry.media.parent != corpus.root}
        )
        hint = (
            f"; if the folders ({', '.join(folders[:3])}, ...) are the classes: --format class_folders"
            if not clips and len(folders) >= LEAST_CLASSES
            else ""
        )
        raise CorpusError(
            f"emotions: expected at least {LEAST_CLASSES} labels with {least} clips each in {corpus.root}, recognised as "
            f"{corpus.format}, found {counts}{hint}"
        )
    return EmotionSet(tuple(sorted(clips)), dict(sorted(clips.items())))


def named_classes(
    root: str | Path, emotions: Sequence[str], options: ReadingOptions
) -> tuple[str, ...] | None:
    """The classes of a corpus whose names of files or folders are its labels, if some are outside `emotions`; None: keep these.

    Such labels are a closed set that somebody chose (EMO-DB has boredom, RAVDESS calm), and no misspelt cells.

    Raises:
        CorpusError: see `emotions_of`.
    """
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir() or options.label_map:
        return None
    format = (
        by_evidence(folder, tuple(emotions), options)[0].format if options.format == AUTO else options.format
    )
    if format not in _NAMED_FORMATS:
        return None
    labels = recognise(folder, emotions=(), options=replace(options, format=format)).entries
    known = {entry.emotion for entry in labels if entry.emotion is not None}
    try:
        for label in known:
            canonical_emotion(label, emotions)
    except CorpusError:
        return emotions_of(folder, replace(options, format=format)).emotions
    return None
