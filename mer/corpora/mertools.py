"""MERTools' "process" layout: label npz, transcription csv, video/ audio/ (or subvideo/ ...), features/.

Also without any media: the precomputed features are the clips then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mer.corpora.feature_files import FeatureFolders
from mer.corpora.matching import match_rows
from mer.corpora.media_index import index_media
from mer.corpora.mertools_labels import Label, label_files, read_labels
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.rows import parse_rows
from mer.corpora.speakers import iemocap_speaker, name_before_first_dot
from mer.corpora.table_file import Cells
from mer.corpora.transcripts import ORIGINAL_CHINESE, ORIGINAL_ENGLISH, read_transcripts

_CUT_MEDIA = ("subvideo", "subaudio", "subvideo-tgt")
_WHOLE_MEDIA = ("video", "audio")
_COLUMNS = ("name", "emotion", "valence", "split", "speaker", "fold")
_OF_A_VIDEO = re.compile(r"(?P<video>.+)_(?:utt)?\d+")


class MertoolsReader:
    """Format A."""

    format = "mertools"
    layout = (
        "a label npz (train_corpus, test1_corpus, ... or whole_corpus) beside video/, audio/ or features/"
    )

    def matches(self, root: Path) -> bool:
        """A label npz lies in the root."""
        return bool(label_files(root))

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Read labels and transcripts, and match them to media or precomputed features.

        Raises:
            CorpusError: see `read_labels`; unknown labels, all of them in one message.
        """
        label_file = read_labels(root, emotions, options.label_map)
        columns = ORIGINAL_CHINESE if label_file.challenge else ORIGINAL_ENGLISH
        transcripts = read_transcripts(root, columns, options.text_column)
        name_of = name_before_first_dot if label_file.challenge else str
        cells = [self._cells(label, name_of(label.name), label_file.challenge) for label in label_file.labels]
        rows, notes = parse_rows(
            Cells(_COLUMNS, cells),
            label_file.file,
            emotions,
            options,
            locations=[f"{label.subset} {label.name}" for label in label_file.labels],
        )
        folders, folder_notes = _media_folders(root)
        index = index_media(
            root, folders, (lambda path: name_of(path.name if label_file.challenge else path.stem))
        )
        if not label_file.challenge and any(row.speaker for row in rows):
            folder_notes.append("speaker: the session and gender (IEMOCAP), or the video a clip was cut from")
        notes = [*label_file.notes, *notes, *folder_notes]
        return transcripts.added_to(match_rows(rows, index, FeatureFolders(root), notes), name_of)

    def _cells(self, label: Label, name: str, challenge: bool) -> dict[str, str]:
        speaker, fold = ("", "") if challenge else _speaker(name)
        return {
            "name": name,
            "emotion": label.emotion,
            "valence": label.valence,
            "split": label.split,
            "speaker": speaker,
            "fold": fold,
        }


def _speaker(name: str) -> tuple[str, str]:
    """Speaker (a group that must stay within one fold) and published fold of a clip (IEMOCAP: leave one session out)."""
    if iemocap := iemocap_speaker(name):
        return iemocap
    video = _OF_A_VIDEO.fullmatch(name)
    return (video["video"] if video else "", "")


def _media_folders(root: Path) -> tuple[list[str], list[str]]:
    """Folders that hold the clips, the preferred one first, and what to say about them."""
    cut = [folder for folder in _CUT_MEDIA if (root / folder).is_dir()]
    folders = cut or [folder for folder in _WHOLE_MEDIA if (root / folder).is_dir()]
    silent = cut[:1] == ["subaudio"] and "subvideo-tgt" in cut
    note = "subaudio/ holds the clips: the pictures in subvideo-tgt/ are without sound"
    return folders, [note] if silent else []
