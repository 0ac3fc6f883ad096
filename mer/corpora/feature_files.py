"""Precomputed features below a corpus root: which clips have files, and the content of clips that have only these.

`features/<set>/<clip>.npy`, or `features/<set>/<clip>/*.npy`, one file per face.
"""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Protocol

from mer.clips import CorpusEntry
from mer.media.content_hash import sha256_file

FEATURES_FOLDER = "features"


class FeatureIndex(Protocol):
    """The precomputed features of a corpus, by clip."""

    @property
    def names(self) -> frozenset[str]:
        """Clips that have any."""
        ...

    def files(self, name: str) -> tuple[Path, ...]:
        """Files that hold a clip's features, in a stable order; none for a clip without."""
        ...

    def address(self, name: str) -> Path:
        """Catalogue path of a clip that has no media; no file lies there."""
        ...


class FeatureFolders:
    """npy files below `<root>/features`; folders are listed only when first asked about a clip."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FEATURES_FOLDER

    @property
    def names(self) -> frozenset[str]:
        """Clips that have a file in any set."""
        return frozenset(self._sets_of)

    def files(self, name: str) -> tuple[Path, ...]:
        """The clip's npy files, by set."""
        files: list[Path] = []
        for feature_set in self._sets_of.get(name, ()):
            file = self._folder / feature_set / f"{name}.npy"
            files += [file] if file.is_file() else sorted(file.with_suffix("").glob("*.npy"))
        return tuple(files)

    def address(self, name: str) -> Path:
        """`<root>/features/<clip>`."""
        return self._folder / name

    @cached_property
    def _sets_of(self) -> dict[str, list[str]]:
        sets: dict[str, list[str]] = {}
        for feature_set in feature_sets(self._folder.parent):
            with os.scandir(self._folder / feature_set) as items:
                for item in items:
                    if item.name.endswith(".npy") or item.is_dir():
                        sets.setdefault(item.name.removesuffix(".npy"), []).append(feature_set)
        return sets


def feature_sets(root: Path) -> tuple[str, ...]:
    """Names of the folders below `<root>/features`, which `files:<name>` reads."""
    folder = root / FEATURES_FOLDER
    if not folder.is_dir():
        return ()
    return tuple(
        sorted(item.name for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
    )


def without_sound(name: str) -> str:
    """Why a recipe that reads sound cannot use a clip of precomputed features."""
    return (
        f"{name} has precomputed features only, and the recipe reads sound: give its acoustic stream a source files:<name>, or "
        "set require_audio: false"
    )


def precomputed_content(entry: CorpusEntry) -> str:
    """Content of an entry without media: sha256 (hex) over its feature files' content, set by set.

    One line `<set>[/<face>] <sha256 of the file>` a file, sorted; the clip's name is not part of it, as with media. For an MMSA
    pickle the lines are the clip's arrays (type, shape and values). A set that is added, removed or changed makes another
    content: what was trained on the old one stays attributed to it.

    Vectors without any value (empty, or zeros throughout) stand for "nothing there", as of clips without text: a clip that has
    no others equals no other clip, and its content is its name.

    Raises:
        MediaError: `missing_media` for a file that cannot be read.
        CorpusError: the pickle cannot be read.
    """
    from mer.corpora.mmsa_pickle import PICKLE_SUFFIX, pickled_lines, pickled_values

    lines: list[str] = []
    blank = True
    for file in entry.precomputed:
        if file.suffix == PICKLE_SUFFIX:
            lines += pickled_lines(file, entry.name)
            blank = blank and not pickled_values(file, entry.name)
            continue
        inner = file.relative_to(entry.media.parent)
        label = inner.parts[0] if len(inner.parts) == 2 else f"{inner.parts[0]}/{file.name}"
        lines.append(f"{label} {sha256_file(file)}")
        blank = blank and _is_blank(file)
    if blank:
        lines.append(f"without values: {entry.name}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _is_blank(file: Path) -> bool:
    """Whether an npy file holds no value but zeros. Its header is only skipped: nothing is allocated on its word."""
    raw = file.read_bytes()
    if raw[:6] != b"\x93NUMPY" or len(raw) < 12:
        return False
    begin = (
        12 + int.from_bytes(raw[8:12], "little") if raw[6] > 1 else 10 + int.from_bytes(raw[8:10], "little")
    )
    return not any(raw[begin:].lstrip(b"\0")[:1])
