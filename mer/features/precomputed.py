"""Precomputed features (`files:<name>`): npy files below `<corpus root>/features/<name>`, as MERTools writes them,
or the arrays of an MMSA pickle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip
from mer.corpora.feature_files import FEATURES_FOLDER
from mer.corpora.mmsa_pickle import pickled_sets, read_mmsa
from mer.errors import MediaError, QuarantineReason
from mer.features.clip_feature import ClipFeature, masked
from mer.features.feature_file import bad_features, read_features, usual_width
from mer.features.missing import EMPTY, is_missing
from mer.features.spec import FILES_PREFIX, FeatureSpec
from mer.validation.magnitude import MAX_MAGNITUDE, first_unbearable, is_bearable

NO_FILE = "no_feature_file"

Frames = NDArray[np.float32]
"""Features of one clip, (T, D)."""


class _Source(Protocol):
    """The features of one corpus under one name."""

    width: int

    def read(self, name: str) -> Frames | None:
        """A clip's features; None where there are none."""
        ...


class PrecomputedExtractor:
    """Reads and checks feature files; the width most of a set's first files have is the expected one."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self._sources: dict[Path, _Source] = {}
        self._width = 1  # until a corpus has been seen

    def extract(self, clip: Clip) -> ClipFeature:
        """Read one clip's features; absent where there are none, or nothing but zeros.

        Raises:
            MediaError: `bad_features` for a file that is no npy array of finite floats of the set's width,
                `unsafe_name` for a name that leaves the folder.
            CorpusError: the corpus' pickle is refused.
        """
        if Path(clip.name).name != clip.name or clip.name in {"", ".", ".."} or "\0" in clip.name:
            raise MediaError(QuarantineReason.UNSAFE_NAME, f"clip name {clip.name!r} is no plain file name")
        if clip.corpus_root not in self._sources:
            name = self.spec.source.removeprefix(FILES_PREFIX)
            self._sources[clip.corpus_root] = _open_source(clip.corpus_root, name)
        source = self._sources[clip.corpus_root]
        self._width = source.width
        values = source.read(clip.name)
        if values is None:
            return self.absent(NO_FILE)
        if values.size == 0:
            return self.absent(EMPTY)
        if values.shape[1] != self._width:
            expected = f"{self._width} features as in the set's other files"
            raise bad_features(clip.name, expected, f"{values.shape[1]}")
        return self.absent(EMPTY) if is_missing(values) else ClipFeature(self._pool(values), present=True)

    def absent(self, *flags: str) -> ClipFeature:
        """Zeros of the width of the set last seen."""
        return masked(self._pool(np.zeros((1, self._width), dtype=np.float32)), flags)

    def _pool(self, values: Frames) -> Frames:
        """(T, D) -> (T, D), (1, D), (1, 2 * D) or (1, 4 * D)."""
        if self.spec.pooling == "frames":
            return values
        statistics: list[Frames] = [values.mean(axis=0)]
        if self.spec.pooling != "mean":
            statistics.append(values.std(axis=0))
        if self.spec.pooling == "statistics":
            statistics += [values.min(axis=0), values.max(axis=0)]
        return np.concatenate(statistics)[None]


def _open_source(root: Path, name: str) -> _Source:
    folder = root / FEATURES_FOLDER / name
    if not folder.is_dir() and name in (pickled := pickled_sets(root)):
        return _PickleSource(*pickled[name])
    return _FolderSource(folder)


class _FolderSource:
    """`<folder>/<clip>.npy`, UTT (D,) or FRA (T, D), or `<folder>/<clip>/*.npy`, one file per face, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.width = usual_width(folder)

    def read(self, name: str) -> Frames | None:
        """Read a clip's file, or its faces one after the other."""
        file = self._folder / f"{name}.npy"
        if file.is_file():
            return read_features(file)
        paths = sorted((self._folder / name).glob("*.npy"))
        if not paths:
            return None
        faces = [face for face in map(read_features, paths) if face.size]
        if not faces:
            return np.zeros((0, self.width), dtype=np.float32)
        if len({face.shape[1] for face in faces}) > 1:
            widths = sorted({face.shape[1] for face in faces})
            raise bad_features(name, "faces of one width", f"{', '.join(map(str, widths))}")
        return np.concatenate(faces)


class _PickleSource:
    """One modality of an MMSA pickle; -inf and NaN there stand for 0."""

    def __init__(self, path: Path, modality: str) -> None:
        self._path, self._modality = path, modality
        held = read_mmsa(path).arrays.get(modality, {})
        self.width = next(iter(held.values())).shape[1] if held else 1

    def read(self, name: str) -> Frames | None:
        """A clip's frames without padding."""
        held = read_mmsa(self._path).arrays.get(self._modality, {}).get(name)
        if held is None:
            return None
        with np.errstate(over="ignore"):
            values = np.nan_to_num(held.astype(np.float32), nan=0.0, neginf=0.0, posinf=np.inf)
        if not is_bearable(values).all():
            expected = f"values within {MAX_MAGNITUDE:g}"
            raise bad_features(f"{self._path.name}: {name}", expected, first_unbearable(values))
        return values
