"""A bare folder of media, or of precomputed features: every clip is unlabelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.corpora.feature_files import FeatureFolders
from mer.corpora.matching import match_rows
from mer.corpora.media_index import index_media
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.transcripts import ORIGINAL_CHINESE, read_transcripts
from mer.errors import CorpusError


class FolderReader:
    """Reader of folders that hold media files and no table; tried last."""

    format = "folder"
    layout = "a folder of media files, or features/<set>/<clip>.npy, without labels"

    def matches(self, root: Path) -> bool:
        """Any folder will do."""
        return True

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """One unlabelled entry for every clip found.

        Raises:
            CorpusError: there is no media file and no feature file at all.
        """
        transcripts = read_transcripts(root, ORIGINAL_CHINESE, options.text_column)
        reading = transcripts.added_to(match_rows((), index_media(root), FeatureFolders(root)))
        if not reading.entries and not reading.left_out:
            raise CorpusError(f"expected media files or a labels.csv below {root}, found neither")
        return reading
