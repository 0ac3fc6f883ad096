"""One folder per emotion, media inside: `Angry/ Happy/ Neutral/ Sad/`, also `speaker/Angry/` and `Angry/speaker/`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.corpora.feature_files import FeatureFolders
from mer.corpora.filenames import speaker_of_name
from mer.corpora.matching import match_rows, name_of_path
from mer.corpora.media_index import MediaIndex, index_media, media_files
from mer.corpora.options import ReadingOptions
from mer.corpora.reading import Reading
from mer.corpora.rows import parse_rows
from mer.corpora.splits import split_of
from mer.corpora.table_file import Cells
from mer.emotions import EMOTION_WORDS, folded_label
from mer.errors import MediaError
from mer.media.suffixes import MEDIA_SUFFIXES

LEAST_CLASSES = 2
"""Folders called like emotions that make a corpus."""

_COLUMNS = ("name", "path", "emotion", "speaker", "split")
_ORDINAL = re.compile(r"^\d+[\s._-]+")
_FORMS = frozenset(
    {suffix[1:] for suffix in MEDIA_SUFFIXES}
    | {"audio", "audios", "clips", "data", "media", "sound", "sounds", "video", "videos", "wavs"}
)
"""Folders, in lower case, that say what their files are and nothing of the clips: `audio/Angry/x.wav`, `video/Angry/x.mp4`."""
_TESS = re.compile(r"(?P<speaker>[OY]AF)[_ -](?P<emotion>.+)", re.IGNORECASE)
"""TESS writes the speaker into the folder: `OAF_angry`."""


@dataclass(frozen=True)
class _Place:
    """What the folders of a file say."""

    emotion: str = ""
    """As written; empty: no folder is called like an emotion."""
    split: str = ""
    others: str = ""
    """The remaining folders, which may be the speaker."""


class ClassFoldersReader:
    """Reader of corpora whose labels are the names of folders."""

    format = "class_folders"
    layout = "one folder per emotion (Angry/, Happy/, ...) with media inside, also below or above folders of speakers"

    def matches(self, root: Path) -> bool:
        """Any media file lies in a folder."""
        return any(path.parent != root for path in media_files(root))

    def labelled(
        self, root: Path, media: Sequence[Path], emotions: Sequence[str], options: ReadingOptions
    ) -> int:
        """How many of the media files lie in a folder that is called like an emotion; 0 for fewer than two such folders."""
        words = _words(emotions, options)
        found = [emotion for path in media if (emotion := _place(path, root, words).emotion)]
        return len(found) if len(set(map(folded_label, found))) >= LEAST_CLASSES else 0

    def read(self, root: Path, emotions: Sequence[str], options: ReadingOptions) -> Reading:
        """Read the folders; files elsewhere are unlabelled.

        Where fewer than two folders are called like emotions (the format was named), the first folder of a path is the label.

        Raises:
            CorpusError: labels outside the emotion set, all of them in one message.
        """
        index = index_media(root)
        words = _words(emotions, options)
        places = {path: _place(path, root, words) for path in index.files}
        if len({folded_label(place.emotion) for place in places.values() if place.emotion}) < LEAST_CLASSES:
            places = {path: _first_folder(path, root) for path in index.files}
        speakers = _speakers(places)
        cells = [_cells(path, name, places, speakers, root) for path, name in _clips(index, places)]
        notes = []
        if any(row["speaker"] for row in cells):
            notes.append("speaker: from the names of files, or the folder beside the class")
        elif cells:
            notes.append("speakers are not known: neither names nor folders say who speaks")
        if not cells:
            return match_rows((), index, FeatureFolders(root))
        locations = [row["path"] or row["name"] for row in cells]
        rows, row_notes = parse_rows(Cells(_COLUMNS, cells), "names of folders", emotions, options, locations)
        return match_rows(rows, index, FeatureFolders(root), (*notes, *row_notes))


def _words(emotions: Sequence[str], options: ReadingOptions) -> frozenset[str]:
    return EMOTION_WORDS | {folded_label(label) for label in (*emotions, *options.label_map)}


def _place(path: Path, root: Path, words: frozenset[str]) -> _Place:
    emotion, split, others = "", "", []
    for folder in path.relative_to(root).parts[:-1]:
        plain = _ORDINAL.sub("", folder)
        tess = _TESS.fullmatch(folder)
        if folded_label(plain) in words and not emotion:
            emotion = plain
        elif tess is not None and folded_label(tess["emotion"]) in words and not emotion:
            emotion = tess["emotion"]
            others.append(tess["speaker"].upper())
        elif split_of(folder) is not None and not split:
            split = folder
        elif folder.lower() not in _FORMS:
            others.append(folder)
    return _Place(emotion, split if emotion else "", "/".join(others))


def _first_folder(path: Path, root: Path) -> _Place:
    folders = path.relative_to(root).parts[:-1]
    return _Place(folders[0], "", "/".join(folders[1:])) if folders else _Place()


def _speakers(places: dict[Path, _Place]) -> frozenset[str]:
    """Folders beside the classes that are speakers: several, most of them with several classes."""
    classes: dict[str, set[str]] = defaultdict(set)
    for place in places.values():
        if place.emotion and place.others:
            classes[place.others].add(folded_label(place.emotion))
    several = sum(len(found) > 1 for found in classes.values())
    return frozenset(classes) if len(classes) > 1 and 2 * several >= len(classes) else frozenset()


def _clips(index: MediaIndex, places: dict[Path, _Place]) -> Iterable[tuple[Path, str]]:
    """(file, name) of every labelled clip; the name is empty where files of one stem are as many clips."""
    for stem, paths in sorted(index.by_stem.items()):
        try:
            one = len({places[path] for path in paths}) == 1 and index.choose(stem)
        except MediaError:
            one = False
        clips = [(one, stem)] if one else [(path, "") for path in sorted(paths)]
        yield from ((path, name) for path, name in clips if places[path].emotion)


def _cells(
    path: Path, name: str, places: dict[Path, _Place], speakers: frozenset[str], root: Path
) -> dict[str, str]:
    place = places[path]
    return {
        "name": name or name_of_path(path, root),
        "path": "" if name else path.relative_to(root).as_posix(),
        "emotion": place.emotion,
        "speaker": speaker_of_name(path.stem) or (place.others if place.others in speakers else ""),
        "split": place.split,
    }
