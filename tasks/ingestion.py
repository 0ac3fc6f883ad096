"""Ingestion: recognise a corpus, probe and hash new files in shards, catalogue or quarantine every one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prefect import task

from infra.catalogue import ClipRow
from mer.corpora import RecognisedCorpus, recognise
from mer.errors import MediaError, QuarantineReason
from mer.media.content_hash import sha256_file
from mer.media.probe import MediaLimits, Probe, probe, require_streams
from tasks.workspace import workspace


@dataclass(frozen=True)
class Listing:
    """What a corpus folder holds, and which of its files must be looked at now."""

    corpus: str
    root: str
    entries: int
    fresh: tuple[int, ...]
    """Positions (in the recognised order) of files that are new or changed since the last scan."""
    left_out: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class IngestReport:
    """Every entry of the corpus is accepted or quarantined; the counts add up."""

    corpus: str
    accepted: int
    quarantined: dict[str, int]
    """Quarantined clips by reason code."""
    labelled: int
    unlabelled: int
    speakers: int
    probed_now: int


@task(name="list corpus")
def list_corpus(root: str, name: str, emotions: Sequence[str]) -> Listing:
    """Recognise the corpus at `root` and find the files not yet catalogued (by path, size and modification time)."""
    found = _recognise(root, name, emotions)
    space = workspace()
    space.catalogue.upsert_corpus(name, root=str(Path(root).resolve()), format=found.format, emotions=list(found.emotions))
    known = space.catalogue.known_files(name)
    fresh = [i for i, entry in enumerate(found.entries) if known.get(str(entry.media)) != _stamp(entry.media)]
    for item in found.left_out:
        space.catalogue.quarantine(name, item.name, str(item.path or ""), item.reason.value, item.detail)
    return Listing(
        corpus=name,
        root=root,
        entries=len(found.entries),
        fresh=tuple(fresh),
        left_out=len(found.left_out),
        notes=tuple(found.notes),
    )
