"""MMSA: `label.csv` beside `Raw/<video_id>/<clip_id>.mp4`, or its processed pickles alone.

The regression label becomes the valence, in the corpus' own units; the annotation (Negative, Neutral, Positive)
becomes the emotion only where all three are members of the emotion set or of the label map. Clips of one video
stay in one fold. Ids are text: leading zeros matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mer.corpora.feature_files import FeatureFolders
from mer.corpora.matching import match_rows
from mer.corpora.media_index import MediaIndex, index_media
from mer.corpora.mmsa_pickle import MmsaRow, PickledFeatures, mmsa_name, pickles
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.rows import parse_rows
from mer.corpora.table_file import Cells, read_cells
from mer.corpora.transcripts import chosen_column, one_text_only
from mer.emotions import canonical_emotion
from mer.errors import CorpusError

RAW_FOLDER = "Raw"
LABEL_TABLE = "label.csv"
_TEXT = "text"
_NEEDED = ("video_id", "clip_id", _TEXT, "label", "mode")
_COLUMNS = ("name", "emotion", "valence", "split", "speaker", "transcript")
_SPLIT_OF_MODE = {"train": "train", "valid": "train", "val": "train", "test": "test", "": "train"}


class MmsaReader:
    """Format D, raw: a label table and the clips (and the pickles as feature sets, where they are there)."""

    format = "mmsa"
    layout = "label.csv (video_id,clip_id,text,label,...,mode) beside Raw/<video_id>/<clip_id>.mp4"

    def matches(self, root: Path) -> bool:
        """The table lies beside Raw/, or beside pickles."""
        return (root / LABEL_TABLE).is_file() and ((root / RAW_FOLDER).is_dir() or bool(pickles(root)))

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Match the table's rows to the clips.

        Raises:
            CorpusError: columns are missing, a mode is unknown, or a label is no number.
        """
        content = read_cells(root / LABEL_TABLE)
        if absent := [column for column in _NEEDED if column not in content.columns]:
            raise CorpusError(
                f"{LABEL_TABLE}: expected columns {', '.join(absent)} too, found {content.columns}"
            )
        column = chosen_column(content, LABEL_TABLE, _TEXT, options.text_column)
        rows = [
            MmsaRow(
                video=row["video_id"], clip=row["clip_id"], mode=row["mode"].lower(), text=row[column],
                label=row["label"], annotation=row.get("annotation", ""),
            )
            for row in content.rows
        ]  # fmt: skip
        folders = [RAW_FOLDER] if (root / RAW_FOLDER).is_dir() else []
        index = index_media(root, folders, lambda path: mmsa_name(path.parent.name, path.stem))
        return _reading(root, LABEL_TABLE, rows, index, emotions, options)


class MmsaPickleReader:
    """Format D, processed: labels, transcripts and features out of the pickles, no media."""

    format = "mmsa-pickle"
    layout = (
        "MMSA's pickles (train/valid/test of raw_text, audio, vision, text, id, labels) in it or Processed/"
    )

    def matches(self, root: Path) -> bool:
        """A pickle lies in the root or in Processed/."""
        return bool(pickles(root))

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Read all pickles; where several hold a clip, their labels must agree.

        Raises:
            CorpusError: a pickle is refused, or of another form.
        """
        one_text_only(options.text_column, self.format)
        rows = PickledFeatures(root).rows
        return _reading(root, "pickle", rows, MediaIndex(root), emotions, options)


def _reading(
    root: Path, table: str, rows: Sequence[MmsaRow], index: MediaIndex, emotions: Sequence[str], options: ReadingOptions
) -> Reading:  # fmt: skip
    annotated, notes = _usable_annotations({row.annotation for row in rows}, emotions, options)
    cells = [
        {
            "name": row.name,
            "emotion": annotated.get(row.annotation, ""),
            "valence": row.label,
            "split": _SPLIT_OF_MODE.get(row.mode, row.mode),
            "speaker": row.video,
            "transcript": row.text,
        }
        for row in rows
    ]
    locations = [f"{table} {row.mode} {row.name}" for row in rows]
    typed, row_notes = parse_rows(Cells(_COLUMNS, cells), table, emotions, options, locations)
    reader_notes = ("speaker is the video a clip was cut from; validation clips are training data here",)
    features = PickledFeatures(root) if pickles(root) else FeatureFolders(root)
    return match_rows(typed, index, features, (*notes, *row_notes, *reader_notes))


def _usable_annotations(
    annotations: set[str], emotions: Sequence[str], options: ReadingOptions
) -> tuple[Mapping[str, str], list[str]]:
    """Annotations to take as emotions: all of them, or none (`Neutral` alone would be half a class)."""
    named = sorted(annotations - {""})
    for annotation in named:
        try:
            _ = (
                options.label_map[annotation]
                if annotation in options.label_map
                else canonical_emotion(annotation, emotions)
            )
        except CorpusError:
            return {}, [
                f"annotations {', '.join(named)} are not taken: {annotation} is no member of the emotion set. Use a "
                "recipe with emotions: [negative, neutral, positive], or --label-map"
            ]
    return {annotation: annotation for annotation in named}, []
