"""The media files below a root, by stem: which file belongs to a name.

Links are followed only to files inside the root, folders that are links not at all: a corpus from elsewhere
cannot make us read (and later serve) a file of the system.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from mer.corpora.reading import LeftOut
from mer.errors import MediaError, QuarantineReason
from mer.media.sniff import check_name, printable
from mer.media.suffixes import VIDEO_SUFFIXES, is_hidden, is_media_file

_NOT_MEDIA_FOLDERS = frozenset({"features", "openface_face"})
"""Precomputed features: large, and never clips."""


@dataclass
class MediaIndex:
    """Usable media files by stem (or what a layout takes for it), and the files left out."""

    root: Path
    by_stem: dict[str, list[Path]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folders: tuple[str, ...] = ()
    """Folders of the root that hold the media, the preferred one first; empty: anywhere."""

    @property
    def files(self) -> Iterator[Path]:
        """All usable media files."""
        for paths in self.by_stem.values():
            yield from paths

    def choose(self, stem: str) -> Path | None:
        """The clip's file: video before audio (it holds both), then the folder named video/ or audio/.

        Raises:
            MediaError: `ambiguous_media` where two files have an equal claim.
        """
        candidates = self.by_stem.get(stem, [])
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        for prefix in (f"{self.root / folder}/" for folder in self.folders):
            if within := [path for path in candidates if str(path).startswith(prefix)]:
                candidates = within
                break
        if len(candidates) == 1:
            return candidates[0]
        videos = [path for path in candidates if path.suffix.lower() in VIDEO_SUFFIXES]
        candidates = videos or candidates
        named = [path for path in candidates if path.parent in {self.root / "video", self.root / "audio"}]
        candidates = named or candidates
        if len(candidates) > 1:
            listed = ", ".join(str(path.relative_to(self.root)) for path in sorted(candidates)[:3])
            raise MediaError(
                QuarantineReason.AMBIGUOUS_MEDIA,
                f"{len(candidates)} files are called {stem} ({listed}): give the table a `path` column",
            )
        return candidates[0]


def index_media(
    root: Path, folders: Sequence[str] = (), name_of: Callable[[Path], str] = attrgetter("stem")
) -> MediaIndex:
    """Find all media files below `root` (absolute), by suffix; hidden files and folders are passed over.

    Args:
        root: folder of the corpus.
        folders: look only into these folders of the root; a name's file is taken from the first that has one.
        name_of: the clip a file belongs to, by default its stem.
    """
    index = MediaIndex(root, folders=tuple(folders))
    for start in [root / folder for folder in folders] or [root]:
        _walk(index, start, name_of)
    return index


def index_files(root: Path, files: Sequence[Path]) -> MediaIndex:
    """An index of these files alone, by the same rules: of what is no media file below `root`, or hidden, nothing is kept.

    Args:
        root: folder of the corpus (absolute).
        files: absolute paths; links are not followed out of the root.
    """
    index = MediaIndex(root)
    for path in sorted(set(files)):
        if not path.is_relative_to(root) or not is_media_file(path):
            continue
        within = path.relative_to(root).parts
        if any(map(is_hidden, within)) or within[0] in _NOT_MEDIA_FOLDERS or _is_below_a_link(root, within):
            continue
        _add(index, path, printable(path.stem), plain=False)
    return index


def _is_below_a_link(root: Path, within: Sequence[str]) -> bool:
    return any(root.joinpath(*within[:end]).is_symlink() for end in range(1, len(within)))


def media_files(root: Path) -> Iterator[Path]:
    """Files below `root` with a media suffix, folder by folder; what `index_media` would look at."""
    return _media_below(MediaIndex(root), root)


def _walk(index: MediaIndex, start: Path, name_of: Callable[[Path], str]) -> None:
    within = start.resolve().is_relative_to(index.root.resolve())
    for path in _media_below(index, start):
        _add(index, path, printable(name_of(path)), plain=within and _is_plain_file(path))


def _is_plain_file(path: Path) -> bool:
    """A regular file that is no link: in a folder we walked to it needs no further check."""
    return stat.S_ISREG(os.lstat(path).st_mode)


def _media_below(index: MediaIndex, start: Path) -> Iterator[Path]:
    root = index.root
    for folder, folders, files in os.walk(start):
        directory = Path(folder)
        for name in sorted(folders):
            if (directory / name).is_symlink():
                index.notes.append(
                    f"folder {printable(str((directory / name).relative_to(root)))} is a link: not followed"
                )
        folders[:] = sorted(
            name
            for name in folders
            if not is_hidden(name) and not (directory == root and name in _NOT_MEDIA_FOLDERS)
        )
        for name in sorted(files):
            path = directory / name
            if is_media_file(path):
                yield path


def _add(index: MediaIndex, path: Path, name: str, *, plain: bool) -> None:
    try:
        check_name(path.name)
        if not plain:
            check_inside(path, index.root)
    except MediaError as error:
        index.left_out.append(
            LeftOut(printable(path.stem), Path(printable(str(path))), error.reason, str(error))
        )
        return
    index.by_stem.setdefault(name, []).append(path)


def check_inside(path: Path, root: Path) -> None:
    """Refuse what is no regular file, and links that lead out of the root.

    Raises:
        MediaError: `missing_media`, `not_a_regular_file` or `outside_root`.
    """
    try:
        resolved = path.resolve(strict=True)
        status = resolved.stat()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links
        raise MediaError(QuarantineReason.MISSING_MEDIA, f"{printable(path.name)}: {error}") from error
    if not resolved.is_relative_to(root.resolve()):
        raise MediaError(
            QuarantineReason.OUTSIDE_ROOT, f"{path.name} is a link to a file outside the corpus folder"
        )
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(QuarantineReason.NOT_A_REGULAR_FILE, f"{path.name} is not a regular file")
