"""The file of a row: by its exact name or path, or by the one file that it alone is near to."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from mer.corpora.feature_files import FeatureIndex
from mer.corpora.media_index import MediaIndex, check_inside
from mer.corpora.near_names import NearestNames, near_matches, plain_path, without_folders
from mer.corpora.rows import LabelRow
from mer.errors import MediaError, QuarantineReason
from mer.media.sniff import check_name, printable

_SHOWN = 100
"""Rows without a file whose nearest names are looked for; the others' reasons say less."""


@dataclass(frozen=True)
class FileOfRow:
    """What a row's clip consists of."""

    name: str
    """Of the clip: the row's, or the file's where the row's is only near to it."""
    media: Path
    precomputed: tuple[Path, ...] = ()


class FilesOfRows:
    """Files of all rows of a corpus."""

    def __init__(self, rows: Sequence[LabelRow], index: MediaIndex, features: FeatureIndex) -> None:
        self._index = index
        self._features = features
        self._shown = 0
        self._contested: dict[str, str] = {}
        left = [row for row in rows if not self._is_exact(row)]
        inexact = set(map(_text, left))
        paths = self._paths_of(left)
        # a row with the exact path of its file claims this file by the file's name: nobody else is near to it
        texts = [text if (text := _text(row)) in inexact else _stem(row) for row in rows]
        names, contested = near_matches(texts, self._names) if len(left) > len(paths) else ({}, {})
        self._near_paths = paths
        near = inexact - set(paths)
        self._contested |= {text: file for text, file in contested.items() if text in near}
        self._near_names = {
            text: names[text]
            for row in left
            if (text := _text(row)) in names and text in near and not self._is_elsewhere(row, names[text])
        }

    @property
    def near(self) -> dict[str, str]:
        """What rows say -> name or path of the file that was taken, where these differ."""
        paths = {
            text: path.relative_to(self._index.root).as_posix() for text, path in self._near_paths.items()
        }
        return paths | self._near_names

    def is_near(self, row: LabelRow) -> bool:
        """Whether the row's file has not exactly the name that the row says."""
        return _text(row) in self._near_paths or _text(row) in self._near_names

    def find(self, row: LabelRow) -> FileOfRow:
        """The file of a row.

        Raises:
            MediaError: there is none, or it cannot be used.
        """
        text = _text(row)
        if text in self._near_paths:
            path = self._near_paths[text]
            return FileOfRow(self._name(row, path), path)
        if text in self._near_names:
            return self._called(self._near_names[text], row)
        if text in self._contested:
            raise MediaError(
                QuarantineReason.CONFLICTING_LABELS,
                f"another row may mean the same file, {printable(self._contested[text])}: give each the exact name of its file",
            )
        check_name(row.name)
        if row.path is None:
            return self._called(row.name, row)
        media = self._inside(row.path, row)
        return FileOfRow(media.stem if row.name == media.name else row.name, media)

    def _called(self, name: str, row: LabelRow) -> FileOfRow:
        media = self._index.choose(name)
        if media is not None:
            return FileOfRow(name, media)
        files = self._features.files(name)
        if not files:
            raise MediaError(
                QuarantineReason.MISSING_MEDIA,
                f"no media file called {printable(row.name)} below the corpus folder, and no precomputed features of it"
                + self._nearest(row.name),
            )
        return FileOfRow(name, self._features.address(name), files)

    def _name(self, row: LabelRow, path: Path) -> str:
        """The row's name where it has one besides its path, else the file's."""
        if row.path is not None and row.name not in (path.name, without_folders(row.path)):
            check_name(row.name)
            return row.name
        return path.stem

    def _inside(self, path: str, row: LabelRow) -> Path:
        relative = PurePosixPath(path)
        if relative.is_absolute() or ".." in relative.parts:
            raise MediaError(
                QuarantineReason.OUTSIDE_ROOT,
                f"path {printable(path)} leads out of the corpus folder: make it relative",
            )
        media = self._index.root / relative
        check_name(media.name)
        if not os.path.lexists(media):
            raise MediaError(
                QuarantineReason.MISSING_MEDIA,
                f"no file at {printable(path)} below the corpus folder" + self._nearest(row.name),
            )
        check_inside(media, self._index.root)
        return media

    def _is_exact(self, row: LabelRow) -> bool:
        if row.path is None:
            return row.name in self._index.by_stem or row.name in self._names
        relative = PurePosixPath(row.path)
        inside = not relative.is_absolute() and ".." not in relative.parts
        return inside and os.path.lexists(self._index.root / relative)

    def _is_elsewhere(self, row: LabelRow, name: str) -> bool:
        """Whether the row says a folder that is there, and the file of this name lies in another one: the row's is missing."""
        folder = plain_path(_text(row)).rpartition("/")[0]
        if not folder or folder.startswith("/") or ".." in folder.split("/"):
            return False
        here = self._index.root / folder
        files = self._index.by_stem.get(name, [])
        return here.is_dir() and bool(files) and all(file.parent != here for file in files)

    def _paths_of(self, rows: Sequence[LabelRow]) -> dict[str, Path]:
        """Files whose path below the corpus is the end of a row's path: `D:\\data\\audio\\x.wav` is audio/x.wav here."""
        ends: dict[str, Path] = {}
        for row in rows:
            text = _text(row)
            if "/" in plain_path(text) and (path := next(self._ending(text), None)) is not None:
                ends[text] = path
        claims = Counter(ends.values())
        root = self._index.root
        self._contested |= {
            text: path.relative_to(root).as_posix() for text, path in ends.items() if claims[path] > 1
        }
        return {text: path for text, path in ends.items() if claims[path] == 1}

    def _ending(self, text: str) -> Iterator[Path]:
        folders = unicodedata.normalize("NFC", plain_path(text)).split("/")
        for start in range(len(folders)):
            if (path := self._by_path.get("/".join(folders[start:]))) is not None:
                yield path

    @cached_property
    def _by_path(self) -> dict[str, Path]:
        root = self._index.root
        return {
            unicodedata.normalize("NFC", path.relative_to(root).as_posix()): path
            for path in self._index.files
        }

    @cached_property
    def _names(self) -> frozenset[str]:
        """Names that a row can have: of media, and of precomputed features."""
        return frozenset(self._index.by_stem) | self._features.names

    def _nearest(self, name: str) -> str:
        self._shown += 1
        near = self._nearest_names.of(name) if self._shown <= _SHOWN else []
        return f"; nearest: {', '.join(map(printable, near))}" if near else ""

    @cached_property
    def _nearest_names(self) -> NearestNames:
        return NearestNames(self._names)


def _text(row: LabelRow) -> str:
    """What the row says of its file."""
    return row.name if row.path is None else row.path


def _stem(row: LabelRow) -> str:
    """The name of the file that a row is sure of."""
    return row.name if row.path is None else PurePosixPath(row.path).stem
