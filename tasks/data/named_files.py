"""Ingestion of files that somebody names (an event, a script): their cost does not grow with the corpus that they come to.

The corpus is not read as a whole: no folder is listed, no table of labels is read. What is catalogued are unlabelled clips, as
ingestion takes media without a row. The next whole ingestion brings what the table says of them, and another name where it
gives them one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import task

from infra.catalogue import QuarantinedFile
from mer.clips import CorpusEntry
from mer.errors import CorpusError
from tasks.data.ingestion import probe_shard
from tasks.data.probing import entry_stamp
from tasks.stage.workspace import Workspace, workspace


@dataclass(frozen=True)
class NamedFilesReport:
    """What became of files that were named; the counts add up."""

    corpus: str
    files: int
    accepted: int
    known: int
    """Catalogued as they are, before."""
    quarantined: dict[str, int]
    """Files set aside by reason."""
    ignored: tuple[str, ...]
    """No media files of the corpus: elsewhere, hidden, or of another kind."""


@task(name="catalogue named files")
def catalogue_files(corpus: str, paths: Sequence[str], require_audio: bool) -> NamedFilesReport:
    """Probe, hash and catalogue these files of a corpus that is catalogued, or quarantine them with a reason.

    Args:
        corpus: its name.
        paths: files below its folder.
        require_audio: quarantine clips without a usable audio track.

    Raises:
        CatalogueError: no such corpus.
        CorpusError: two of the files, or one and a clip of the corpus, would get the same name.
    """
    from mer.corpora.matching import unlabelled_entries
    from mer.corpora.media_index import index_files

    space = workspace()
    root = space.catalogue.corpus_root(corpus)
    files = sorted({Path(path).parent.resolve() / Path(path).name for path in paths})
    index = index_files(root, files)
    aside = [
        QuarantinedFile(name=one.name, path=str(one.path), reason=one.reason.value, detail=one.detail)
        for one in index.left_out
        if one.path is not None
    ]
    if aside:
        space.catalogue.quarantine_all(corpus, aside)
    listed = {path for stem in index.by_stem.values() for path in stem}
    entries = _named(space, corpus, root, unlabelled_entries(index, index.by_stem))
    known = space.catalogue.known_files(corpus, [str(entry.media) for entry in entries])
    fresh = [entry for entry in entries if not _is_as_known(entry, known.get(str(entry.media)))]
    accepted = probe_shard.fn(corpus, fresh, require_audio) if fresh else 0
    asked = {str(entry.media) for entry in fresh} | {file.path for file in aside}
    held = [item.reason for item in space.catalogue.quarantined(corpus, asked)]
    left = [str(path) for path in files if path not in listed and str(path) not in asked]
    return NamedFilesReport(
        corpus, len(files), accepted, len(entries) - len(fresh), dict(Counter(held)), tuple(left)
    )


def _is_as_known(entry: CorpusEntry, file: object) -> bool:
    return file is not None and (getattr(file, "size", None), getattr(file, "mtime_ns", None)) == entry_stamp(
        entry
    )


def _named(space: Workspace, corpus: str, root: Path, entries: Sequence[CorpusEntry]) -> list[CorpusEntry]:
    """The entries under names that are theirs alone: of a file that is catalogued the clip's, of others one that is free."""
    from mer.corpora.matching import name_of_path

    known = space.catalogue.known_files(corpus, [str(entry.media) for entry in entries])
    taken = {
        row.name: str(row.path) for row in space.catalogue.clips(corpus, only=[one.name for one in entries])
    }
    named = []
    for entry in entries:
        path = str(entry.media)
        if (file := known.get(path)) is not None:
            named.append(_as_catalogued(space, corpus, replace(entry, name=file.name)))
        elif taken.get(entry.name, path) != path:
            named.append(replace(entry, name=name_of_path(entry.media, root)))
        else:
            named.append(entry)
    again = space.catalogue.clips(corpus, only=[entry.name for entry in named])
    paths = {row.name: str(row.path) for row in again}
    for entry in named:
        if paths.get(entry.name, str(entry.media)) != str(entry.media):
            raise CorpusError(
                f"{entry.media}: expected a name that no clip of {corpus} has, found {entry.name} of {paths[entry.name]}; "
                "rename the file"
            )
    return named


def _as_catalogued(space: Workspace, corpus: str, entry: CorpusEntry) -> CorpusEntry:
    """What the corpus said of a file that is read again, since it changed."""
    from mer.clips import Split

    rows = space.catalogue.clips(corpus, only=[entry.name])
    if not rows:
        return entry
    row = rows[0]
    return replace(
        entry,
        speaker=row.speaker,
        split=Split(row.split),
        part=row.part,
        fold=row.fold,
        transcript=row.transcript,
    )
