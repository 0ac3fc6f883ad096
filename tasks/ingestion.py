"""Ingestion: recognise a corpus, probe and hash new files in shards, catalogue or quarantine every one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task

from infra.catalogue import ClipUpsert, KnownFile
from mer.clips import CorpusEntry
from mer.errors import MediaError, QuarantineReason
from tasks.workspace import Workspace, workspace


@dataclass(frozen=True)
class Listing:
    """What a corpus folder holds, and which of its files must be looked at now."""

    corpus: str
    root: str
    format: str
    entries: int
    fresh: tuple[int, ...]
    """Positions (in the recognised order) of files that are new or changed since the last scan."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class IngestReport:
    """Every entry of the corpus is accepted or quarantined; the counts add up."""

    corpus: str
    entries: int
    accepted: int
    quarantined: dict[str, int]
    """Quarantined files by reason code."""
    duplicates: int
    """Entries whose content another entry has already: one clip, under several names."""
    labelled: int
    unlabelled: int
    speakers: int
    probed_now: int


@task(name="list corpus")
def list_corpus(root: str, corpus: str, emotions: Sequence[str]) -> Listing:
    """Recognise the corpus at `root` and find the files not yet catalogued (by path, size and modification time)."""
    from mer.corpora import recognise

    found = recognise(Path(root), emotions=emotions, name=corpus)
    space = workspace()
    space.catalogue.upsert_corpus(corpus, root=found.root, format=found.format, emotions=list(found.emotions))
    for item in found.left_out:
        space.catalogue.quarantine(
            corpus, item.name, item.path or found.root / item.name, item.reason, item.detail
        )
    known = space.catalogue.known_files(corpus)
    fresh = tuple(
        i
        for i, entry in enumerate(found.entries)
        if _stamp_of(known.get(str(entry.media))) != file_stamp(entry.media)
    )
    return Listing(
        corpus=corpus,
        root=root,
        format=found.format,
        entries=len(found.entries) + len(found.left_out),
        fresh=fresh,
        notes=tuple(found.notes),
    )


@task(name="probe shard")
def probe_shard(
    listing: Listing, emotions: Sequence[str], positions: Sequence[int], require_audio: bool
) -> int:
    """Probe, hash and catalogue the files at these positions; unusable ones are quarantined with a reason."""
    from mer.corpora import recognise

    space = workspace()
    entries = recognise(Path(listing.root), emotions=emotions, name=listing.corpus).entries
    accepted: list[ClipUpsert] = []
    for entry in (entries[position] for position in positions):
        try:
            accepted.append(_examine(entry, require_audio))
        except MediaError as error:
            _set_aside(space, listing.corpus, entry, error.reason, str(error))
    space.catalogue.upsert_clips(listing.corpus, accepted)
    return len(accepted)


@task(name="write labels")
def write_labels(listing: Listing, emotions: Sequence[str], probed: int) -> IngestReport:
    """Write the corpus' gold labels for every catalogued clip, and account for every entry."""
    from mer.corpora import recognise

    space = workspace()
    entries = {
        str(e.media): e for e in recognise(Path(listing.root), emotions=emotions, name=listing.corpus).entries
    }
    _follow_the_table(space, listing.corpus, entries)
    rows = space.catalogue.clips(listing.corpus)
    gold = [(row.clip_id, entries[str(row.path)].emotion, entries[str(row.path)].valence) for row in rows]
    space.catalogue.set_gold_labels(listing.corpus, gold)
    labelled = sum(emotion is not None for _, emotion, _ in gold)
    return IngestReport(
        corpus=listing.corpus,
        entries=listing.entries,
        accepted=len(rows),
        quarantined=dict(Counter(item.reason for item in space.catalogue.quarantined(listing.corpus))),
        duplicates=len(space.catalogue.known_files(listing.corpus)) - len(rows),
        labelled=labelled,
        unlabelled=len(rows) - labelled,
        speakers=len({row.speaker for row in rows} - {None}),
        probed_now=probed,
    )


def _follow_the_table(space: Workspace, corpus: str, entries: Mapping[str, CorpusEntry]) -> None:
    """Forget files that are gone, and take over what the owner's table now says of files that are unchanged."""
    known = space.catalogue.known_files(corpus)
    space.catalogue.forget_files(corpus, [path for path in known if path not in entries])
    changed = []
    for row in space.catalogue.clips(corpus):
        path, entry = str(row.path), entries[str(row.path)]
        told = (entry.name, entry.speaker, entry.split.value, entry.fold, entry.transcript)
        if told != (row.name, row.speaker, row.split, row.fold, row.transcript):
            changed.append(
                ClipUpsert(
                    clip_id=row.clip_id,
                    name=entry.name,
                    path=path,
                    size=known[path].size,
                    mtime_ns=known[path].mtime_ns,
                    duration_seconds=row.duration_seconds,
                    has_audio=row.has_audio,
                    has_video=row.has_video,
                    width=row.width,
                    height=row.height,
                    speaker=entry.speaker,
                    split=entry.split.value,
                    fold=entry.fold,
                    transcript=entry.transcript,
                )
            )
    space.catalogue.upsert_clips(corpus, changed)


def file_stamp(path: Path) -> tuple[int, int] | None:
    """(size in bytes, modification time in ns): a file with the stamp it was catalogued with is not read again."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _stamp_of(known: KnownFile | None) -> tuple[int, int] | None:
    return (known.size, known.mtime_ns) if known is not None else None


def _examine(entry: CorpusEntry, require_audio: bool) -> ClipUpsert:
    from mer.media.content_hash import sha256_file
    from mer.media.probe import probe, require_streams

    stamp = file_stamp(entry.media)
    if stamp is None:
        raise MediaError(
            QuarantineReason.MISSING_MEDIA, f"{entry.media.name}: the file is not there any more"
        )
    found = probe(entry.media)
    require_streams(found, audio=require_audio, video=False)
    return ClipUpsert(
        clip_id=sha256_file(entry.media),
        name=entry.name,
        path=str(entry.media),
        size=stamp[0],
        mtime_ns=stamp[1],
        duration_seconds=found.duration_seconds,
        has_audio=found.has_audio,
        has_video=found.has_video,
        width=found.width,
        height=found.height,
        speaker=entry.speaker,
        split=entry.split.value,
        fold=entry.fold,
        transcript=entry.transcript,
    )


def _set_aside(
    space: Workspace, corpus: str, entry: CorpusEntry, reason: QuarantineReason, detail: str
) -> None:
    space.catalogue.quarantine(corpus, entry.name, str(entry.media), reason.value, detail)
