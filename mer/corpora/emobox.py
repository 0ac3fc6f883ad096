"""EmoBox: lines of JSON `{"key", "wav", "length", "dataset", "emo", ...}`, `<dataset>.jsonl` beside files of folds.

`fold_1/<dataset>_train_fold_1.jsonl` and `..._test_fold_1.jsonl` and so on: a clip's fold is the one it is tested in. Clips that
every fold tests, or the only fold, are test clips. Source: the meta-data of the EmoBox toolkit.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mer.corpora.feature_files import FeatureFolders
from mer.corpora.filenames import speaker_of_name
from mer.corpora.matching import match_rows
from mer.corpora.media_index import index_media
from mer.corpora.near_names import without_folders
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.rows import parse_rows
from mer.corpora.splits import ABOUT_VALIDATION
from mer.corpora.table_file import MAX_TABLE_BYTES, Cells
from mer.errors import CorpusError

_PLACES = ("*.jsonl", "fold*/*.jsonl", "*/fold*/*.jsonl")
_FOLD_FILE = re.compile(r"(?P<dataset>.+)_(?P<role>train|valid|val|dev|test)_fold_?(?P<fold>\d+)")
_NEEDED = frozenset({"key", "wav", "emo"})
_COLUMNS = ("name", "path", "emotion", "speaker", "split", "fold", "transcript")


@dataclass
class _Clips:
    lines: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Key -> the first line with it."""
    locations: dict[str, str] = field(default_factory=dict)
    tested: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Key -> folds whose test clips it is among."""
    folds: set[int] = field(default_factory=set)
    validation: set[str] = field(default_factory=set)


class EmoBoxReader:
    """One data set of EmoBox, its jsonl files beside the media."""

    format = "emobox"
    layout = '<dataset>.jsonl or fold_1/<dataset>_train_fold_1.jsonl, ... of lines {"key", "wav", "emo"}, and media files'

    def matches(self, root: Path) -> bool:
        """Some jsonl file begins with a line of EmoBox."""
        return any(_begins_like_emobox(path) for path in _files(root))

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Read all files; lines of one key count once.

        Raises:
            CorpusError: several data sets, a line that is no clip, clips that are parts of longer files, or unknown labels.
        """
        files = [path for path in _files(root) if _begins_like_emobox(path)]
        clips = _Clips()
        for path in files:
            _read(path, clips)
        _require_one_dataset(clips)
        notes = [
            f"{', '.join(path.name for path in files[:3])}{' ...' if len(files) > 3 else ''}: {len(clips.lines)} clips"
        ]
        if clips.validation:
            notes.append(f"the validation part ({len(clips.validation)} clips) {ABOUT_VALIDATION}")
        cells = [_cells(key, line, clips) for key, line in clips.lines.items()]
        locations = list(clips.locations.values())
        rows, row_notes = parse_rows(Cells(_COLUMNS, cells), files[0].name, emotions, options, locations)
        return match_rows(rows, index_media(root), FeatureFolders(root), (*notes, *row_notes))


def _files(root: Path) -> list[Path]:
    return sorted({path for place in _PLACES for path in root.glob(place) if path.is_file()})


def _begins_like_emobox(path: Path) -> bool:
    try:
        with path.open("rb") as lines:
            first = json.loads(lines.readline(1 << 20))
    except (OSError, ValueError, RecursionError):  # no JSON, no UTF-8, or brackets alone
        return False
    return isinstance(first, dict) and first.keys() >= _NEEDED


def _read(path: Path, clips: _Clips) -> None:
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise CorpusError(f"{path.name} has {path.stat().st_size} bytes: lines of clips were expected")
    match = _FOLD_FILE.fullmatch(path.stem)
    fold = int(match["fold"]) if match else None
    if fold is not None:
        clips.folds.add(fold)
    for number, text in enumerate(path.read_bytes().splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{path.name}, line {number}: no JSON ({error})") from error
        if not isinstance(line, dict) or not line.keys() >= _NEEDED:
            raise CorpusError(
                f"{path.name}, line {number}: expected an object with {', '.join(sorted(_NEEDED))}"
            )
        if line.get("start_time") is not None:
            raise CorpusError(
                f"{path.name}, line {number}: the clip is a part of {line['wav']} (start_time): cut the files into clips first"
            )
        key = str(line["key"])
        clips.lines.setdefault(key, line)
        clips.locations.setdefault(key, f"{path.name} line {number}")
        if match and fold is not None and match["role"] == "test":
            clips.tested[key].add(fold)
        elif match and match["role"] != "train":
            clips.validation.add(key)


def _require_one_dataset(clips: _Clips) -> None:
    datasets = sorted({str(line.get("dataset", "")) for line in clips.lines.values()})
    if len(datasets) > 1:
        raise CorpusError(
            f"expected one data set of EmoBox, found {', '.join(datasets)}: give the folder of one of them"
        )


def _cells(key: str, line: Mapping[str, Any], clips: _Clips) -> dict[str, str]:
    tested = clips.tested.get(key, set())
    test = bool(tested) and tested == clips.folds
    name = without_folders(str(line["wav"]))
    if len(tested) > 1 and not test:
        raise CorpusError(
            f"{clips.locations[key]}: {key} is tested in folds {sorted(tested)}: expected one, or all of them"
        )
    return {
        "name": name,
        "path": str(line["wav"]),
        "emotion": str(line["emo"]),
        "speaker": str(line.get("speaker") or line.get("spk") or "") or speaker_of_name(name),
        "split": "test" if test else "train",
        "fold": str(min(tested) - 1) if tested and not test else "",
        "transcript": str(line.get("text") or line.get("transcript") or ""),
    }
