"""Result of a corpus reader, and the interface that all readers implement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mer.clips import CorpusEntry
from mer.corpora.options import ReadingOptions
from mer.errors import QuarantineReason


@dataclass(frozen=True)
class LeftOut:
    """A clip that cannot become an entry, with the reason to store in quarantine."""

    name: str
    """Printable UTF-8, whatever the file is called."""
    path: Path | None
    """Where the file lies (printable, for people); None where there is no file."""
    reason: QuarantineReason
    detail: str


@dataclass(frozen=True)
class Reading:
    """Content of a corpus folder as a reader understood it."""

    entries: tuple[CorpusEntry, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    """Decisions taken, for people: label mappings used, columns ignored, folders not followed."""


@dataclass(frozen=True)
class RecognisedCorpus:
    """A corpus folder, understood."""

    name: str
    root: Path
    format: str
    """Name of the reader that recognised it."""
    emotions: tuple[str, ...]
    entries: tuple[CorpusEntry, ...]
    """Sorted by name; names are unique, media paths absolute."""
    left_out: tuple[LeftOut, ...] = ()
    feature_sets: tuple[str, ...] = ()
    """Precomputed features that a spec reads by `files:<name>`: folders below features/, arrays of pickles."""
    notes: tuple[str, ...] = field(default=())


class CorpusReader(Protocol):
    """One layout. Readers live one to a module and are listed in `mer.corpora.recognise.READERS`."""

    @property
    def format(self) -> str:
        """Name of the format for `--format`."""
        ...

    @property
    def layout(self) -> str:
        """Expected files, in one line, for error messages."""
        ...

    def matches(self, root: Path) -> bool:
        """Say by a cheap look whether this is the reader's layout."""
        ...

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Read the folder.

        Raises:
            CorpusError: the corpus as a whole cannot be read; single clips are left out instead.
        """
        ...
