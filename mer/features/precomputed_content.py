"""What precomputed features (`files:<set>`) are a function of: the bytes of a clip's own files, not of its media."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from mer.corpora.feature_files import FEATURES_FOLDER
from mer.corpora.mmsa_pickle import pickled_lines, pickled_sets
from mer.errors import MediaError
from mer.features.spec import FILES_PREFIX
from mer.media.content_hash import sha256_file

_REMEMBERED = 2**18
"""Hashes kept by file, size and time of change: a run asks for the same ones at every stage."""


def precomputed_contents(root: Path, source: str, names: Sequence[str]) -> list[str | None]:
    """sha256 (hex) of every clip's features in the set; None for a clip that has none, or files that cannot be read.

    Args:
        root: of the corpus.
        source: `files:<set>`, a folder below `<root>/features` or an array of an MMSA pickle.
        names: of the clips.
    """
    name = source.removeprefix(FILES_PREFIX)
    folder = root / FEATURES_FOLDER / name
    if not folder.is_dir() and name in (pickled := pickled_sets(root)):
        path, modality = pickled[name]
        status = path.stat()
        return [
            _pickled(path, modality, clip_name, status.st_size, status.st_mtime_ns) for clip_name in names
        ]
    return [_in_folder(folder, clip_name) for clip_name in names]


def _in_folder(folder: Path, name: str) -> str | None:
    if Path(name).name != name or "\0" in name:  # reading it is refused
        return None
    file = folder / f"{name}.npy"
    if (content := _hashed(file)) is not None:
        return content
    faces = [_hashed(path) for path in sorted((folder / name).glob("*.npy"))]
    return _joined([face or "" for face in faces]) if faces else None


def _hashed(path: Path) -> str | None:
    try:
        status = path.stat()
        return _content(path, status.st_size, status.st_mtime_ns)
    except (OSError, MediaError):
        return None


@lru_cache(maxsize=_REMEMBERED)
def _content(path: Path, _size: int, _mtime_ns: int) -> str:
    return sha256_file(path)


@lru_cache(maxsize=_REMEMBERED)
def _pickled(path: Path, modality: str, name: str, _size: int, _mtime_ns: int) -> str | None:
    lines = [line for line in pickled_lines(path, name) if line.startswith(f"{path.stem}-{modality} ")]
    return _joined(lines) if lines else None


def _joined(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
