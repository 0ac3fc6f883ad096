"""Corpora whose labels are the file names: RAVDESS, CREMA-D, EMO-DB.

The speaker comes out of the name, so folds are speaker-independent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.corpora.feature_files import FeatureFolders
from mer.corpora.matching import match_rows
from mer.corpora.media_index import index_media, media_files
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.rows import parse_rows
from mer.corpora.speakers import other_speaker
from mer.corpora.table_file import Cells
from mer.corpora.transcripts import one_text_only

_LEAST_SHARE = 0.9
"""Share of media files that must be named as the corpus names them."""
_COLUMNS = ("name", "emotion", "speaker", "transcript")


@dataclass(frozen=True, kw_only=True)
class FileNameReader:
    """Format E, one corpus."""

    format: str
    layout: str
    pattern: re.Pattern[str]
    """Groups `emotion`, `speaker`, `text`."""
    emotions: Mapping[str, str]
    """Code in the name -> the corpus' own label."""
    texts: Mapping[str, str]
    """Code in the name -> what is said."""
    speaker_prefix: str = ""

    def matches(self, root: Path) -> bool:
        """Some media file is named as the corpus names them."""
        return any(self.pattern.fullmatch(path.stem) for path in media_files(root))

    def labelled(
        self, root: Path, media: Sequence[Path], emotions: Sequence[str], options: ReadingOptions
    ) -> int:
        """How many of the media files have the corpus' names; 0 unless nearly all have."""
        fitting = sum(self.pattern.fullmatch(path.stem) is not None for path in media)
        return fitting if fitting >= _LEAST_SHARE * len(media) else 0

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Read the names; files with other names are unlabelled.

        Raises:
            CorpusError: labels outside the emotion set, all of them in one message.
        """
        index = index_media(root)
        cells = []
        for stem in sorted(index.by_stem):
            if fields := self.pattern.fullmatch(stem):
                cells.append(
                    {
                        "name": stem,
                        "emotion": self.emotions.get(fields["emotion"], f"code {fields['emotion']}"),
                        "speaker": self.speaker_prefix + fields["speaker"],
                        "transcript": self.texts.get(fields["text"], ""),
                    }
                )
        locations = [row["name"] for row in cells]
        one_text_only(options.text_column, self.format)
        rows, notes = parse_rows(Cells(_COLUMNS, cells), "file names", emotions, options, locations)
        return match_rows(rows, index, FeatureFolders(root), notes)


RAVDESS = FileNameReader(
    format="ravdess",
    layout="files named as in RAVDESS, 03-01-06-01-02-01-12.wav",
    pattern=re.compile(r"0[1-3]-0[12]-(?P<emotion>\d\d)-\d\d-(?P<text>\d\d)-\d\d-(?P<speaker>\d\d)"),
    emotions={
        "01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful",
        "07": "disgust", "08": "surprised",
    },
    texts={"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"},
    speaker_prefix="actor_",
)  # fmt: skip
CREMA_D = FileNameReader(
    format="crema-d",
    layout="files named as in CREMA-D, 1001_DFA_ANG_XX.wav",
    pattern=re.compile(r"(?P<speaker>1\d{3})_(?P<text>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?:LO|MD|HI|XX|X)"),
    emotions={
        "ANG": "angry", "DIS": "disgust", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad",
    },
    texts={
        "IEO": "It's eleven o'clock", "TIE": "That is exactly what happened",
        "IOM": "I'm on my way to the meeting", "IWW": "I wonder what this is about",
        "TAI": "The airplane is almost full", "MTI": "Maybe tomorrow it will be cold",
        "IWL": "I would like a new alarm clock", "ITH": "I think I have a doctor's appointment",
        "DFA": "Don't forget a jacket", "ITS": "I think I've seen this before",
        "TSI": "The surface is slick", "WSI": "We'll stop in a couple of minutes",
    },
)  # fmt: skip
EMO_DB = FileNameReader(
    format="emo-db",
    layout="files named as in EMO-DB, 03a01Fa.wav",
    pattern=re.compile(r"(?P<speaker>\d\d)(?P<text>[ab]\d\d)(?P<emotion>[WLEAFTN])[a-z]?"),
    emotions={
        "W": "angry", "L": "boredom", "E": "disgust", "A": "fearful", "F": "happy", "T": "sad", "N": "neutral",
    },
    texts={
        "a01": "Der Lappen liegt auf dem Eisschrank.", "a02": "Das will sie am Mittwoch abgeben.",
        "a04": "Heute abend könnte ich es ihm sagen.",
        "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
        "a07": "In sieben Stunden wird es soweit sein.",
        "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
        "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
        "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
        "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
        "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
    },
)  # fmt: skip


def speaker_of_name(name: str) -> str:
    """Speaker of a clip by the name of its file, where a known corpus names clips so; empty: it is unknown."""
    for reader in (RAVDESS, CREMA_D, EMO_DB):
        if fields := reader.pattern.fullmatch(name):
            return reader.speaker_prefix + fields["speaker"]
    return other_speaker(name)
