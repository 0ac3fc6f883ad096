"""MMSA's processed pickles: `{train, valid, test} x {id, raw_text, audio, vision, text, *_lengths, labels}`.

Each of `audio`, `vision` and `text` is a feature set called `<pickle>-<modality>`, e.g. `unaligned_50-audio`. The
last two pickles read stay in memory (they hold whole corpora), keyed by path, size and time of change.
Source: thuiar/MMSA, data_loader.py: `-inf` and NaN there stand for 0, lengths say where padding begins.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.corpora.contained_reader import read_contained
from mer.errors import CorpusError

PICKLE_SUFFIX = ".pkl"
MODALITIES = ("audio", "vision", "text")
_MODES = ("train", "valid", "test")
_SEPARATOR = "$_$"
_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class MmsaRow:
    """What a pickle or label.csv says of one clip, as text."""

    video: str
    clip: str
    mode: str
    """`train`, `valid` or `test`, MMSA's word for the split."""
    text: str
    label: str
    annotation: str

    @property
    def name(self) -> str:
        """The clip's name in the catalogue."""
        return mmsa_name(self.video, self.clip)


@dataclass(frozen=True)
class MmsaPickle:
    """One pickle, understood; arrays are views into it."""

    rows: tuple[MmsaRow, ...]
    arrays: Mapping[str, Mapping[str, NDArray[Any]]]
    """Modality -> clip -> (T, D) without padding; clips of length 0 are absent."""


def mmsa_name(video: str, clip: str) -> str:
    """`<video>_<clip>`; video ids that begin like an option or a formula get a `_` before them."""
    name = f"{video}_{clip}"
    return f"_{name}" if name[:1] in {"-", "=", "+", "@"} else name


def pickles(root: Path) -> list[Path]:
    """Pickles of a corpus folder, in order."""
    folders = (root, root / "Processed")
    return [path for folder in folders for path in sorted(folder.glob(f"*{PICKLE_SUFFIX}")) if path.is_file()]


class PickledFeatures:
    """The feature sets in the pickles of a corpus folder."""

    def __init__(self, root: Path) -> None:
        self._pickles = pickles(root)

    @property
    def rows(self) -> list[MmsaRow]:
        """Rows of all pickles."""
        return [row for path in self._pickles for row in read_mmsa(path).rows]

    @property
    def names(self) -> frozenset[str]:
        """Clips that have any features."""
        return frozenset(self._files_of)

    def files(self, name: str) -> tuple[Path, ...]:
        """Pickles that hold the clip."""
        return self._files_of.get(name, ())

    def address(self, name: str) -> Path:
        """`<pickle>/<clip>`."""
        return self._pickles[0] / name

    @cached_property
    def _files_of(self) -> dict[str, tuple[Path, ...]]:
        files: dict[str, tuple[Path, ...]] = {}
        for path in self._pickles:
            for name in {name for held in read_mmsa(path).arrays.values() for name in held}:
                files[name] = (*files.get(name, ()), path)
        return files


def pickled_sets(root: Path) -> dict[str, tuple[Path, str]]:
    """Feature sets by name -> (pickle, modality), without reading the pickles."""
    return {f"{path.stem}-{modality}": (path, modality) for path in pickles(root) for modality in MODALITIES}


def pickled_lines(path: Path, name: str) -> list[str]:
    """What identifies a clip's features in a pickle: a line `<set> <type> <shape> <sha256>` for each array."""
    lines: list[str] = []
    for modality, held in read_mmsa(path).arrays.items():
        if name in held:
            values = np.ascontiguousarray(held[name])
            content = hashlib.sha256(values.tobytes()).hexdigest()
            lines.append(f"{path.stem}-{modality} {values.dtype.str} {values.shape} {content}")
    return lines


def pickled_values(path: Path, name: str) -> bool:
    """Whether any of a clip's arrays in a pickle holds a value that is not 0 (or stands for it)."""
    arrays = [held[name] for held in read_mmsa(path).arrays.values() if name in held]
    return any(bool(np.any(values[~(np.isnan(values) | np.isneginf(values))])) for values in arrays)


def read_mmsa(path: Path) -> MmsaPickle:
    """Read a pickle, or take it from memory.

    Raises:
        CorpusError: refused (see `read_contained`), or not of MMSA's form; says what was expected.
    """
    status = path.stat()
    with _lock:  # of several threads that want it, one reads
        return _read(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2)
def _read(path: Path, _size: int, _mtime_ns: int) -> MmsaPickle:
    held = read_contained("pickle", path)
    contents = {mode: held[mode] for mode in _MODES if mode in held} if isinstance(held, dict) else {}
    if not contents:
        raise _unexpected(path, "a dict with train, valid, test", held)
    try:
        return _understood(path, contents)
    except (TypeError, ValueError, LookupError) as error:
        raise CorpusError(f"{path.name} is no pickle of MMSA: {type(error).__name__}: {error}") from error


def _understood(path: Path, contents: Mapping[str, Any]) -> MmsaPickle:
    rows: list[MmsaRow] = []
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    for mode, content in contents.items():
        if not isinstance(content, dict) or "id" not in content:
            raise _unexpected(path, f"[{mode}] to be a dict with `id`", content)
        mine = _rows(path, mode, content)
        rows += mine
        for modality in MODALITIES:
            if modality in content:
                arrays.setdefault(modality, {}).update(_arrays(path, mode, modality, content, mine))
    return MmsaPickle(tuple(rows), arrays)


def _rows(path: Path, mode: str, content: Mapping[str, Any]) -> list[MmsaRow]:
    ids = list(content["id"])
    columns = {
        name: list(content.get(name, [""] * len(ids)))
        for name in ("raw_text", "regression_labels", "annotations")
    }
    for name, values in columns.items():
        if len(values) != len(ids):
            raise _unexpected(path, f"[{mode}][{name}] to have {len(ids)} rows", values)
    rows: list[MmsaRow] = []
    for identity, text, label, annotation in zip(ids, *columns.values(), strict=True):
        if not isinstance(identity, str) or _SEPARATOR not in identity:
            raise _unexpected(path, f"[{mode}][id] to be text `video{_SEPARATOR}clip`", identity)
        video, clip = identity.split(_SEPARATOR, 1)
        label = "" if isinstance(label, str) else str(float(np.asarray(label).reshape(-1)[0]))
        rows.append(
            MmsaRow(video=video, clip=clip, mode=mode, text=str(text).strip(), label=label, annotation=str(annotation))
        )  # fmt: skip
    return rows


def _arrays(
    path: Path, mode: str, modality: str, content: Mapping[str, Any], rows: list[MmsaRow]
) -> dict[str, NDArray[Any]]:
    values = np.asarray(content[modality])
    if values.dtype.kind != "f" or values.ndim not in {2, 3} or len(values) != len(rows):
        raise _unexpected(
            path, f"[{mode}][{modality}] to be floats (clips, [time,] features), {len(rows)} clips", values
        )
    if values.ndim == 2:
        values = values[:, None]
    lengths = _lengths(modality, content, values)
    return {
        row.name: clip[:length] for row, clip, length in zip(rows, values, lengths, strict=True) if length > 0
    }


def _lengths(modality: str, content: Mapping[str, Any], values: NDArray[Any]) -> list[int]:
    """Frames before padding: as told, else as many as the text has (aligned pickles), else without trailing zeros."""
    stored = content.get(f"{modality}_lengths")
    bert = content.get("text_bert")
    clips, longest = values.shape[:2]
    if stored is not None and len(stored) == clips:
        lengths = [int(np.asarray(length).reshape(-1)[0]) for length in stored]
    elif isinstance(bert, np.ndarray) and bert.ndim == 3 and bert.shape[::2] == (clips, longest):
        lengths = bert[:, 1].astype(np.int64).sum(axis=1).tolist()
    else:
        used = (values != 0).any(axis=2)
        lengths = np.where(used.any(axis=1), longest - used[:, ::-1].argmax(axis=1), 0).tolist()
    return [min(max(length, 0), longest) for length in lengths]


def _unexpected(path: Path, expected: str, actual: Any) -> CorpusError:
    shown = (
        f"shape {actual.shape}, {actual.dtype}" if isinstance(actual, np.ndarray) else type(actual).__name__
    )
    return CorpusError(f"{path.name}: expected {expected}, found {shown}: it is no pickle of MMSA")
