"""IEMOCAP as released: `Session1..5/dialog/EmoEvaluation/*.txt` and `sentences/wav/<dialogue>/<utterance>.wav`.

Folds are the sessions (leave one session out); `xxx` (the raters did not agree) is no label. The ratings of
valence (1 to 5) are another scale than ours and are not taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mer.corpora.feature_files import FeatureFolders
from mer.corpora.matching import match_rows
from mer.corpora.media_index import index_media
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.rows import parse_rows
from mer.corpora.speakers import iemocap_speaker
from mer.corpora.table_file import Cells
from mer.corpora.transcripts import Transcripts, one_text_only

_COLUMNS = ("name", "emotion", "speaker", "fold")
_EVALUATION = re.compile(r"\[[\d.]+ - [\d.]+\]\t(?P<name>Ses0\w+)\t(?P<code>[a-z]{3})\t")
_TRANSCRIPT = re.compile(r"(?P<name>Ses0\w+) \[[\d.\s-]+\]: ?(?P<text>.*)")
_EMOTION_OF_CODE = {
    "ang": "angry", "hap": "happy", "sad": "sad", "neu": "neutral", "fru": "frustrated", "exc": "excited",
    "fea": "fearful", "sur": "surprise", "dis": "disgust", "oth": "other", "xxx": "",
}  # fmt: skip


class IemocapReader:
    """IEMOCAP's full release."""

    format = "iemocap"
    layout = "Session1/dialog/EmoEvaluation/*.txt beside Session1/sentences/wav/"

    def matches(self, root: Path) -> bool:
        """Some session has its evaluations."""
        return any(path.is_dir() for path in root.glob("Session[1-5]/dialog/EmoEvaluation"))

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Read evaluations and transcriptions, and match them to the utterances.

        Raises:
            CorpusError: labels outside the emotion set, all of them in one message.
        """
        one_text_only(options.text_column, self.format)
        transcripts = Transcripts(
            {
                match["name"]: match["text"].strip()
                for line in _lines(root, "transcriptions")
                if (match := _TRANSCRIPT.match(line)) and match["text"].strip()
            }
        )
        cells = [
            _cells(match["name"], match["code"])
            for line in _lines(root, "EmoEvaluation")
            if (match := _EVALUATION.match(line))
        ]
        locations = [row["name"] for row in cells]
        rows, notes = parse_rows(Cells(_COLUMNS, cells), "EmoEvaluation", emotions, options, locations)
        folders = [str(path.relative_to(root)) for path in sorted(root.glob("Session[1-5]/sentences/wav"))]
        notes.append(
            "folds are the five sessions; xxx (no agreement) is no label; ratings 1 to 5 are not taken"
        )
        return transcripts.added_to(match_rows(rows, index_media(root, folders), FeatureFolders(root), notes))


def _cells(name: str, code: str) -> dict[str, str]:
    speaker, fold = iemocap_speaker(name) or ("", "")
    return {
        "name": name,
        "emotion": _EMOTION_OF_CODE.get(code, code),
        "speaker": speaker,
        "fold": fold,
    }


def _lines(root: Path, folder: str) -> Iterator[str]:
    for path in sorted(root.glob(f"Session[1-5]/dialog/{folder}/Ses*.txt")):
        yield from path.read_text(encoding="utf-8", errors="replace").splitlines()
