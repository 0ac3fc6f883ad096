"""A bare folder of media: every clip is unlabelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.clips import CorpusEntry, Split
from mer.corpora.media_index import MediaIndex, index_media
from mer.corpora.reading import LabelMap, Reading
from mer.errors import CorpusError, MediaError


class FolderReader:
    """Anything that holds media files and no table; asked last."""

    format = "folder"

    def matches(self, root: Path) -> bool:
        """Any folder will do."""
        return True

    def read(self, root: Path, emotions: Sequence[str], label_map: LabelMap) -> Reading:
        """One unlabelled entry for every clip found.

        Raises:
            CorpusError: there is no media file at all.
        """
        index = index_media(root)
        entries = unlabelled_entries(index, set(index.by_stem))
        if not entries and not index.left_out:
            raise CorpusError(f"expected media files or a labels.csv below {root}, found neither")
        return Reading(tuple(entries), tuple(index.left_out), tuple(index.notes))


def unlabelled_entries(index: MediaIndex, stems: set[str]) -> list[CorpusEntry]:
    """Unlabelled entries for these stems, in order; files of one name in several folders are named by their
    path.
    """
    entries: list[CorpusEntry] = []
    for stem in sorted(stems):
        try:
            media = index.choose(stem)
        except MediaError:
            for path in sorted(index.by_stem[stem]):
                name = "__".join(path.relative_to(index.root).with_suffix("").parts)
                entries.append(CorpusEntry(name=name, media=path, split=Split.UNLABELLED))
            continue
        if media is not None:
            entries.append(CorpusEntry(name=stem, media=media, split=Split.UNLABELLED))
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):  # a__b beside a/b
        raise CorpusError("two clips would get the same name: rename files so that their stems differ")
    return entries
