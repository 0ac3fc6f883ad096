"""MERTools' label files: an npz of pickled dicts, name -> {'emo': 'angry' or 3, 'val': -2.5}, one per part.

Parts: `train, test1, test2, test3` (MER2023), `train, test1` (MER2024 to 2026), `train, val, test`, `whole`
(IEMOCAP). Source: zeroQiaoba/MERTools, toolkit/preprocess and toolkit/dataloader.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mer.corpora.contained_reader import read_contained
from mer.corpora.options import LabelMap
from mer.corpora.restricted_pickle import npz_members
from mer.emotions import MER_EMOTIONS
from mer.errors import CorpusError

_SPLIT_OF_SUBSET = {
    "train_corpus": "train", "val_corpus": "train", "whole_corpus": "train",
    "test_corpus": "test", "test1_corpus": "test1", "test2_corpus": "test2", "test3_corpus": "test3",
}  # fmt: skip
_WITH_FILLERS = {"train_corpus", "test1_corpus"}
"""The parts of MER2024 to 2026, whose test clips came without labels."""
_FILLER = MER_EMOTIONS[0]
MISSING_VALENCE = -10


@dataclass(frozen=True)
class Label:
    """One clip of a label file, as text the table parser takes."""

    name: str
    subset: str
    split: str
    emotion: str
    valence: str


@dataclass(frozen=True)
class MertoolsLabels:
    """A label file."""

    file: str
    labels: tuple[Label, ...]
    challenge: bool
    """Whether it is one of the MER challenges (their speech is Chinese, their names are cut at the first dot)."""
    notes: tuple[str, ...]


def label_files(root: Path) -> list[Path]:
    """The npz files in the root whose members are parts of a corpus."""
    files = (path for path in sorted(root.glob("*.npz")) if path.is_file())
    return [
        path for path in files if (members := npz_members(path)) and set(members) <= set(_SPLIT_OF_SUBSET)
    ]


def read_labels(root: Path, emotions: Sequence[str], label_map: LabelMap) -> MertoolsLabels:
    """Read the label file of a corpus.

    Raises:
        CorpusError: several files and none for this number of classes, a file that is refused or of another
            form, or classes given as numbers whose order nobody said.
    """
    file = _choose(label_files(root), len(emotions))
    subsets = read_contained("npz", file)
    labels = [
        _label(file, subset, name, label)
        for subset, clips in subsets.items()
        for name, label in _mapping(file, subset, clips).items()
    ]
    notes = [
        f"labels: {file.name}, " + ", ".join(f"{subset} {len(clips)}" for subset, clips in subsets.items())
    ]
    labels = _without_fillers(labels, set(subsets), notes)
    labels = _without_placeholders(labels, notes)
    _require_order(file, labels, label_map)
    if "val_corpus" in subsets:
        notes.append("val_corpus is training data here: validation speakers are chosen inside the folds")
    return MertoolsLabels(file.name, tuple(labels), "test1_corpus" in subsets, tuple(notes))


def _choose(files: list[Path], classes: int) -> Path:
    if len(files) == 1:
        return files[0]
    fitting = [file for file in files if re.search(rf"(?<!\d){classes}[-_]?way", file.stem)]
    if len(fitting) != 1:
        listed = ", ".join(file.name for file in files)
        raise CorpusError(
            f"expected one label file for {classes} classes, found {listed}: use a recipe with as many emotions "
            "as one of them has classes"
        )
    return fitting[0]


def _mapping(file: Path, subset: str, clips: Any) -> Mapping[Any, Any]:
    if not isinstance(clips, dict):
        raise CorpusError(f"{file.name}[{subset}]: expected a dict of clips, found {type(clips).__name__}")
    return clips


def _label(file: Path, subset: str, name: Any, label: Any) -> Label:
    if not isinstance(name, str) or not isinstance(label, dict) or "emo" not in label:
        raise CorpusError(
            f"{file.name}[{subset}]: expected name -> {{'emo': ..., 'val': ...}}, found {name!r} -> {label!r:.60}"
        )
    emotion, valence = _text(label["emo"]), _text(label.get("val", ""))
    missing = valence in {"", str(MISSING_VALENCE)}
    return Label(str(name), subset, _SPLIT_OF_SUBSET[subset], emotion, "" if missing else valence)


def _text(value: Any) -> str:
    """A label as a table would write it: 3 and 3.0 are `3`, NaN and None are empty."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if value is None or isinstance(value, str):
        return (value or "").strip()
    if not isinstance(value, numbers.Real):
        return repr(value)  # the table parser will refuse it, with the clip's name
    number = float(value)
    if math.isnan(number):
        return ""
    return str(int(number)) if number.is_integer() else str(number)


def _without_fillers(labels: list[Label], subsets: set[str], notes: list[str]) -> list[Label]:
    """MER2024 to 2026: if every test clip is `neutral`, that is the toolkit's filler and no label."""
    test = [label for label in labels if label.subset == "test1_corpus"]
    if subsets != _WITH_FILLERS or not test or any(label.emotion != _FILLER for label in test):
        return labels
    notes.append(
        f"test1_corpus: all {len(test)} clips are {_FILLER}, the toolkit's filler: taken as unlabelled"
    )
    return [
        Label(label.name, label.subset, "unlabelled", "", "") if label.subset == "test1_corpus" else label
        for label in labels
    ]


def _without_placeholders(labels: list[Label], notes: list[str]) -> list[Label]:
    """Sentiment corpora (CMU-MOSI, SIMS): `emo` is 0 everywhere, only `val` says something."""
    if not labels or any(label.emotion != "0" for label in labels) or not any(la.valence for la in labels):
        return labels
    notes.append("`emo` is 0 for every clip: a placeholder, only `val` is taken (in the corpus' own units)")
    return [Label(label.name, label.subset, label.split, "", label.valence) for label in labels]


def _require_order(file: Path, labels: Sequence[Label], label_map: LabelMap) -> None:
    numbers_used = sorted({label.emotion for label in labels if label.emotion.isdigit()}, key=int)
    unknown = [number for number in numbers_used if number not in label_map]
    if unknown:
        example = ",".join(f"{number}=<emotion>" for number in numbers_used)
        raise CorpusError(
            f"{file.name} gives emotions as numbers ({', '.join(numbers_used)}) and does not say which is which: "
            f"expected their order by --label-map {example} (NUMBER= stands for no label). MERTools counts MELD "
            "as anger, joy, sadness, neutral, disgust, fear, surprise"
        )
