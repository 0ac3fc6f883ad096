"""What is predicted: the clips under the paths that are asked for, by the same reading as ingestion, or why a file is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from infra.catalogue import ClipRow, CorpusRow
from mer.clips import Clip, CorpusEntry
from mer.errors import CorpusError, MediaError, QuarantineReason
from mer.media.contained import shared_media
from tasks.data.probing import examine
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.corpora.submission import Candidates


@dataclass(frozen=True)
class UnusableMedia:
    """A file that no model can answer for."""

    name: str
    """Of the clip that it would be."""
    path: Path
    reason: QuarantineReason
    message: str

    @property
    def description(self) -> str:
        """Reason and message, for people."""
        return f"{self.reason.value}: {self.message}"


Medium = Clip | UnusableMedia


@dataclass(frozen=True)
class RequestedMedia:
    """Clips in the order in which they were asked for, folders by path."""

    media: tuple[Medium, ...]
    notes: tuple[str, ...]
    """What was passed over, for people."""

    @property
    def clips(self) -> list[Clip]:
        """Those that can be read."""
        return [medium for medium in self.media if isinstance(medium, Clip)]

    @property
    def unusable(self) -> list[UnusableMedia]:
        """Those that cannot."""
        return [medium for medium in self.media if isinstance(medium, UnusableMedia)]


def read_media(
    paths: Sequence[str], known: Catalogued, candidates: Candidates | None = None
) -> RequestedMedia:
    """The clips of files and folders. A file is tried whatever its name is; of a folder those that ingestion takes.

    Every file is probed in a process of its own: what breaks that is the file's reason.

    Args:
        paths: files, and folders of them.
        known: clips of the catalogue, whose names, transcripts and features are used.
        candidates: what a submission asks for: only files of these names are read, under these names.

    Raises:
        CorpusError: there is no clip at all.
    """
    entries: dict[Path, CorpusEntry | UnusableMedia] = {}
    roots: dict[Path, Path] = {}
    notes: list[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            found, remarks = _folder(path)
            notes += remarks
        else:
            found = [CorpusEntry(name=path.stem, media=path)]
        for entry in found:
            at = entry.path if isinstance(entry, UnusableMedia) else entry.media
            if entries.setdefault(at.absolute(), entry) is entry:
                roots[at] = path if path.is_dir() else path.parent
    if not entries:
        raise CorpusError(f"predict: expected media files in {', '.join(map(str, paths))}, found none")
    chosen = list(entries.values())
    if candidates is not None:
        named = [_renamed(entry, Path(_address(entry)).stem) for entry in chosen]
        chosen = [entry for entry in named if candidates.wants(entry.name)]
    media = tuple(
        entry if isinstance(entry, UnusableMedia) else _examined(entry, roots[entry.media], known)
        for entry in chosen
    )
    return RequestedMedia(media, tuple(notes))


def _folder(path: Path) -> tuple[list[CorpusEntry | UnusableMedia], list[str]]:
    """Clips and files left out of a folder, as ingestion of a folder without a table has them; sorted by path."""
    from mer.corpora.feature_files import FeatureFolders
    from mer.corpora.matching import OTHER_FORMS, match_rows
    from mer.corpora.media_index import index_media

    root = path.resolve()
    index = index_media(root)
    reading = match_rows((), index, FeatureFolders(root))
    read = {entry.media for entry in reading.entries}
    passed_over = sorted(file for file in index.files if file not in read)
    notes = [f"{path}: {note}" for note in reading.notes if not note.endswith(OTHER_FORMS)]  # named below
    if passed_over:
        shown = ", ".join(str(file.relative_to(root)) for file in passed_over[:3])
        more = f" and {len(passed_over) - 3} more" if len(passed_over) > 3 else ""
        notes.append(
            f"{path}: not read, because another file of the same clip is (its video beside its sound, say): {shown}{more}; name "
            "a file to have it predicted too"
        )
    if not reading.entries and not reading.left_out:
        notes.append(f"{path}: no media files")
    found: list[CorpusEntry | UnusableMedia] = [
        replace(entry, media=path / entry.media.relative_to(root)) for entry in reading.entries
    ]
    found += [
        UnusableMedia(item.name, item.path or path / item.name, item.reason, item.detail)
        for item in reading.left_out
    ]
    return sorted(found, key=_address), notes


def _renamed(entry: CorpusEntry | UnusableMedia, name: str) -> CorpusEntry | UnusableMedia:
    return replace(entry, name=name)


def _address(entry: CorpusEntry | UnusableMedia) -> str:
    return str(entry.path if isinstance(entry, UnusableMedia) else entry.media)


def _examined(entry: CorpusEntry, root: Path, known: Catalogued) -> Medium:
    from mer.corpora.feature_files import FEATURES_FOLDER

    path = entry.media
    try:
        content = examine(entry, False, shared_media()).content
    except MediaError as error:
        return UnusableMedia(entry.name, path, error.reason, str(error))
    if (clip := known.clip(entry.name, path, content)) is not None:
        return clip
    if (
        not entry.precomputed and (path.parent / FEATURES_FOLDER).is_dir()
    ):  # features of this folder, under files' names
        return Clip(name=path.stem, content=content, path=path, corpus_root=path.parent)
    return Clip(name=entry.name, content=content, path=path, corpus_root=root)


class Catalogued:
    """Catalogued clips: their transcripts and precomputed features are used, wherever the file lies now.

    Only what is asked for is read: the answer for one clip costs the same among a thousand and among a million.
    """

    def __init__(self, space: Workspace) -> None:
        self._catalogue = space.catalogue

    @cached_property
    def _roots(self) -> dict[str, Path]:
        return {corpus.name: corpus.root for corpus in self._catalogue.corpora()}

    def clip(self, name: str, path: Path, content: str) -> Clip | None:
        """The clip that lies at this path, under its name in its corpus (which may be another than the file's, as in MELD and
        MMSA); else one of equal content, under the name given. Of several the one of that name comes first.
        """
        # a link within a corpus is a clip of its own, a link from elsewhere is the clip that it leads to
        places = (path.parent.resolve() / path.name, path.resolve())
        clips = self._found([str(place) for place in places], content)
        there = {clip.path: clip for clip in clips}
        at_home = there.get(places[0]) or there.get(places[1])
        if at_home is not None and at_home.content == content:
            return replace(at_home, path=path)
        return _equal_one(clips, name, path, content)

    def of_content(self, name: str, path: Path, content: str) -> Clip | None:
        """A clip of equal content under the name given, of a file that lies where no corpus is: one that was sent."""
        return _equal_one(self._found([], content), name, path, content)

    def _found(self, paths: Sequence[str], content: str) -> list[Clip]:
        rows = self._catalogue.clips_lying_at(paths, [content])
        return [_clip(row, self._roots[corpus]) for corpus, row in rows]


def _equal_one(clips: Sequence[Clip], name: str, path: Path, content: str) -> Clip | None:
    equal = [clip for clip in clips if clip.content == content]
    namesakes = [clip for clip in equal if clip.name == path.stem]
    return replace((namesakes or equal)[0], name=name, path=path) if equal else None


def catalogued_candidates(space: Workspace, candidates: Candidates, corpus: str) -> list[Clip]:
    """Catalogued clips that candidates name, of one corpus or of all.

    Raises:
        CorpusError: one name stands for several clips: says in which corpora.
    """
    clips_by_name: dict[str, tuple[str, Clip]] = {}
    for row in space.catalogue.corpora():
        if corpus and row.name != corpus:
            continue
        for clip in clips_of(space, row):
            known = clips_by_name.get(clip.name)
            if known is not None and known[1].content != clip.content and candidates.wants(clip.name):
                raise CorpusError(
                    f"candidate {clip.name} is a clip of {known[0]} and another one of {row.name}: say which corpus "
                    "by --name"
                )
            if candidates.wants(clip.name):
                clips_by_name[clip.name] = (row.name, clip)
    return [clip for _, clip in clips_by_name.values()]


def require_one_answer(clips: Sequence[Clip]) -> None:
    """A submission has one answer a name.

    Raises:
        CorpusError: clips of one name differ; says where they lie.
    """
    first: dict[str, Clip] = {}
    for clip in clips:
        known = first.setdefault(clip.name, clip)
        if known.content != clip.content:
            raise CorpusError(
                f"candidate {clip.name}: expected one file of this name, found {known.path} and {clip.path}, which differ; "
                "give the folder that holds the candidates"
            )


def clips_of(space: Workspace, corpus: CorpusRow) -> Iterator[Clip]:
    """The catalogued clips of a corpus."""
    for row in space.catalogue.clips(corpus.name):
        yield _clip(row, corpus.root)


def _clip(row: ClipRow, root: Path) -> Clip:
    return Clip(
        name=row.name, content=row.content, path=row.path, corpus_root=root, transcript=row.transcript
    )
