"""MELD: `{train,dev,test}_sent_emo.csv` and folders of `dia0_utt0.mp4`, whose names begin anew in every part.

Clips are named as MERTools names them, `train_dia0_utt0`, so that its feature files fit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mer.corpora.feature_files import FeatureFolders
from mer.corpora.matching import match_rows
from mer.corpora.media_index import MediaIndex, index_media
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.rows import parse_rows
from mer.corpora.table_file import Cells, read_cells
from mer.corpora.transcripts import chosen_column
from mer.errors import CorpusError

_TABLES = {"train": "train_sent_emo.csv", "val": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}
_SUBSET_OF_FOLDER = {
    "train_splits": "train", "train": "train", "dev_splits_complete": "val", "dev": "val",
    "output_repeated_splits_test": "test", "test": "test",
}  # fmt: skip
_SPLIT_OF_SUBSET = {"train": "train", "val": "train", "test": "test"}
_COLUMNS = ("name", "emotion", "speaker", "split", "transcript")
_TEXT = "utterance"
_NEEDED = (_TEXT, "speaker", "emotion", "dialogue_id", "utterance_id")
_CLIP = re.compile(r"(?:train|val|test)_dia\d+_utt\d+")


class MeldReader:
    """MELD as released."""

    format = "meld"
    layout = "train_sent_emo.csv (dev_, test_) beside train_splits/, dev_splits_complete/, ... or train/, dev/, test/"

    def matches(self, root: Path) -> bool:
        """The training table lies in the root."""
        return (root / _TABLES["train"]).is_file()

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Read the tables and match them to the clips.

        Raises:
            CorpusError: columns are missing, or labels outside the emotion set, all of them in one message.
        """
        cells: list[dict[str, str]] = []
        for subset, table in _TABLES.items():
            if not (root / table).is_file():
                continue
            content = read_cells(root / table)
            if absent := [column for column in _NEEDED if column not in content.columns]:
                raise CorpusError(
                    f"{table}: expected columns {', '.join(absent)} too, found {content.columns}"
                )
            column = chosen_column(content, table, _TEXT, options.text_column)
            cells += [_cells(row, subset, row[column]) for row in content.rows]
        locations = [row["name"] for row in cells]
        rows, notes = parse_rows(Cells(_COLUMNS, cells), _TABLES["train"], emotions, options, locations)
        folders = [folder for folder in _SUBSET_OF_FOLDER if (root / folder).is_dir()]
        index = index_media(root, folders, lambda path: _name(path, root))
        notes.append("dev is training data here: validation speakers are chosen inside the folds")
        _pass_over_other_files(index)
        return match_rows(rows, index, FeatureFolders(root), notes)


def _cells(row: dict[str, str], subset: str, text: str) -> dict[str, str]:
    return {
        "name": f"{subset}_dia{row['dialogue_id']}_utt{row['utterance_id']}",
        "emotion": row["emotion"],
        "speaker": row["speaker"],
        "split": _SPLIT_OF_SUBSET[subset],
        "transcript": text,
    }


def _name(path: Path, root: Path) -> str:
    return f"{_SUBSET_OF_FOLDER.get(path.relative_to(root).parts[0], 'other')}_{path.stem}"


def _pass_over_other_files(index: MediaIndex) -> None:
    """The test folder holds whole scenes too (`final_videos_testdia...`)."""
    others = [name for name in index.by_stem if not _CLIP.fullmatch(name)]
    for name in others:
        del index.by_stem[name]
    if others:
        index.notes.append(f"{len(others)} files are not named like clips (dia0_utt0): passed over")
