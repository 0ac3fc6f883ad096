"""Raw releases of the MER challenges: label tables `name,discrete[,valence]` beside folders of clips.

Test clips without published labels, and the candidates of a submission, come in as unlabelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.corpora.feature_files import FeatureFolders
from mer.corpora.matching import match_rows
from mer.corpora.media_index import index_media
from mer.corpora.mertools_labels import MISSING_VALENCE
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.rows import parse_rows
from mer.corpora.speakers import name_before_first_dot
from mer.corpora.table_file import Cells, read_cells
from mer.corpora.transcripts import ORIGINAL_CHINESE, read_transcripts
from mer.errors import CorpusError

_COLUMNS = ("name", "emotion", "valence", "split")


@dataclass(frozen=True, kw_only=True)
class ChallengeReader:
    """Format B, one year."""

    format: str
    layout: str
    train: str
    """Table of the labelled training clips; its presence is how the release is known."""
    tests: tuple[str, ...] = ()
    """Tables of test clips, read where they are there."""
    candidates: str | None = None
    """Table of the names a submission must have."""
    folders: tuple[str, ...]
    """Folders of clips, the preferred one first."""

    def matches(self, root: Path) -> bool:
        """The training table lies beside one of the release's folders of clips, or beside features/."""
        folders = (*self.folders, "features")
        return (root / self.train).is_file() and any((root / folder).is_dir() for folder in folders)

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Read the tables and transcripts, and match them to the clips.

        Raises:
            CorpusError: a table without its columns, or unknown labels, all of them in one message.
        """
        transcripts = read_transcripts(root, ORIGINAL_CHINESE, options.text_column)
        cells, locations = self._labelled(root)
        notes = self._add_candidates(root, cells, locations)
        rows, row_notes = parse_rows(Cells(_COLUMNS, cells), self.train, emotions, options, locations)
        folders = [folder for folder in self.folders if (root / folder).is_dir()]
        index = index_media(root, folders, lambda path: name_before_first_dot(path.name))
        reading = match_rows(rows, index, FeatureFolders(root), (*notes, *row_notes))
        return transcripts.added_to(reading, name_before_first_dot)

    def _labelled(self, root: Path) -> tuple[list[dict[str, str]], list[str]]:
        cells: list[dict[str, str]] = []
        locations: list[str] = []
        for table in (self.train, *self.tests):
            if not (root / table).is_file():
                continue
            content = read_cells(root / table)
            if not {"name", "discrete"} <= set(content.columns):
                raise CorpusError(
                    f"{table}: expected columns name,discrete, found {', '.join(content.columns)}"
                )
            part = table.removesuffix("-label.csv")  # test1, ...: their scores are separate tracks
            split = "train" if table == self.train else part if part in self.folders else "test"
            for number, row in enumerate(content.rows, start=2):
                cells.append(_cells(row, split if row["discrete"] else "unlabelled"))
                locations.append(f"{table} row {number}")
        return cells, locations

    def _add_candidates(self, root: Path, cells: list[dict[str, str]], locations: list[str]) -> list[str]:
        """Candidates that no table labels; whatever `discrete` says of them is a filler."""
        if self.candidates is None or not (root / self.candidates).is_file():
            return []
        content = read_cells(root / self.candidates)
        if "name" not in content.columns:
            raise CorpusError(
                f"{self.candidates}: expected a column name, found {', '.join(content.columns)}"
            )
        labelled = {row["name"] for row in cells}
        new = [row for row in content.rows if name_before_first_dot(row["name"]) not in labelled]
        cells += [_cells({"name": row["name"]}, "unlabelled") for row in new]
        locations += [f"{self.candidates} {row['name']}" for row in new]
        return [
            f"{len(content.rows)} names of a submission in {self.candidates}: taken as unlabelled, "
            "`mer predict --candidates` writes them in order"
        ]


def _cells(row: dict[str, str], split: str) -> dict[str, str]:
    name = name_before_first_dot(row["name"])
    valence = row.get("valence", "")
    missing = valence.removesuffix(".0") == str(MISSING_VALENCE)
    return {
        "name": name,
        "emotion": row.get("discrete", ""),
        "valence": "" if missing else valence,
        "split": split,
    }


MER2023 = ChallengeReader(
    format="mer2023",
    layout="train-label.csv beside train/ (and testN-label.csv beside testN/)",
    train="train-label.csv",
    tests=("test1-label.csv", "test2-label.csv", "test3-label.csv"),
    folders=("train", "test1", "test2", "test3"),
)
MER2024 = ChallengeReader(
    format="mer2024",
    layout="label-disdim.csv beside video-labeled/",
    train="label-disdim.csv",
    candidates="candidate_20000.csv",
    folders=("video-labeled", "video-unlabeled-with-test2noise", "video-unlabeled"),
)
MER2025 = ChallengeReader(
    format="mer2025",
    layout="track1_train_disdim.csv beside video/ or audio/",
    train="track1_train_disdim.csv",
    tests=("track1_test_dis.csv",),
    candidates="track_all_candidates.csv",
    folders=("video", "audio"),
)
MER2026 = ChallengeReader(
    format="mer2026",
    layout="track1_train.csv beside video/ or audio/",
    train="track1_train.csv",
    tests=("track1_test.csv",),
    candidates="track1_track2_candidate.csv",
    folders=("video", "audio"),
)
