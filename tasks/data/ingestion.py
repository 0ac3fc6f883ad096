"""Ingestion: recognise a corpus, probe and hash new files in shards, catalogue or quarantine every one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from prefect import task

from infra.catalogue import ClipUpsert, QuarantinedFile, VoteRow
from infra.catalogue.quarantine import storable
from infra.observing import INFO, record
from mer.clips import CorpusEntry
from mer.corpora.account import CorpusAccount
from mer.corpora.equal_contents import EqualContents
from mer.corpora.options import AS_FOUND, ReadingOptions
from mer.corpora.reading import RecognisedCorpus
from mer.errors import MediaError, QuarantineReason
from tasks.data.equal_contents import equal_contents
from tasks.data.features import cut
from tasks.data.probing import entry_stamp, examine
from tasks.data.reviewed import as_rows, changed_votes
from tasks.stage.workspace import Workspace, workspace

SAVED_CLIPS = 256
"""Clips that are catalogued together: what an interrupted task has to probe again at most."""


@dataclass(frozen=True)
class Listing:
    """What a corpus folder holds, and which of its files must be looked at now."""

    corpus: str
    root: str
    options: ReadingOptions
    """How it is read, by the reader that recognised it."""
    entries: int
    fresh: tuple[CorpusEntry, ...]
    """Clips whose files are new, changed or called otherwise since the last scan."""
    account: CorpusAccount


@dataclass(frozen=True)
class IngestReport:
    """Every entry of the corpus is accepted or quarantined; the counts add up."""

    corpus: str
    entries: int
    accepted: int
    quarantined: dict[str, int]
    """Quarantined files by reason code."""
    labelled: int
    unlabelled: int
    speakers: int
    probed_now: int
    equal: EqualContents
    """Clips of equal content, whose labels contradict each other, or which are trained and evaluated on at once."""
    account: CorpusAccount
    """What the corpus says of itself, before any file was read."""


@task(name="list corpus")
def list_corpus(
    root: str, corpus: str, emotions: Sequence[str], options: ReadingOptions = AS_FOUND
) -> Listing:
    """Recognise the corpus at `root` and find the files not yet catalogued (by path, name, size and modification time)."""
    from mer.corpora import recognise
    from mer.corpora.account import account_of
    from mer.validation.check import check_corpus

    recognised = recognise(Path(root), emotions=emotions, name=corpus, options=options)
    if recognised.entries:
        check_corpus(recognised.entries, emotions)
    space = workspace()
    _warn_of_another_folder(space, corpus, recognised.root)
    space.catalogue.upsert_corpus(
        corpus, root=recognised.root, format=recognised.format, emotions=list(recognised.emotions)
    )
    _set_aside_again(space, recognised)
    known = space.catalogue.known_files(corpus)
    fresh = tuple(
        entry
        for entry in recognised.entries
        if (file := known.get(str(entry.media))) is None
        or (file.name, (file.size, file.mtime_ns)) != (entry.name, entry_stamp(entry))
    )
    return Listing(
        corpus=corpus,
        root=root,
        options=replace(options, format=recognised.format),
        entries=len(recognised.entries) + len(recognised.left_out),
        fresh=fresh,
        account=account_of(recognised),
    )


@task(name="probe shard")
def probe_shard(corpus: str, entries: Sequence[CorpusEntry], require_audio: bool) -> int:
    """Probe, hash and catalogue these clips, some at a time; unusable ones are quarantined with a reason.

    A clip that could not be read for a reason that passes is tried again after the others. What stays in quarantine, for
    whatever reason, is probed again at every scan.
    """
    from mer.media.contained import ContainedMedia

    space = workspace()
    count = 0
    with ContainedMedia() as contained:
        for some in cut(entries, SAVED_CLIPS):
            accepted = _examined(
                space, corpus, some, partial(examine, require_audio=require_audio, contained=contained)
            )
            space.catalogue.upsert_clips(corpus, accepted)
            count += len(accepted)
    return count


def _examined(
    space: Workspace,
    corpus: str,
    entries: Sequence[CorpusEntry],
    examine_one: Callable[[CorpusEntry], ClipUpsert],
) -> list[ClipUpsert]:
    accepted: list[ClipUpsert] = []
    waiting, last = list(entries), False
    while waiting:
        again: list[CorpusEntry] = []
        for entry in waiting:
            try:
                accepted.append(examine_one(entry))
            except MediaError as error:
                if error.transient and not last:
                    again.append(entry)
                    continue
                detail = f"{error} (passing: tried again at the next scan)" if error.transient else str(error)
                _set_aside(space, corpus, entry, error.reason, detail)
        waiting, last = again, True
    return accepted


@task(name="write labels")
def write_labels(listing: Listing, emotions: Sequence[str], probed: int) -> IngestReport:
    """Write the corpus' gold labels for every catalogued clip, and account for every entry."""
    space = workspace()
    entries = {str(entry.media): entry for entry in _recognise(listing, emotions).entries}
    _follow_the_table(space, listing.corpus, entries)
    counts = space.catalogue.counts(listing.corpus)
    return IngestReport(
        corpus=listing.corpus,
        entries=listing.entries,
        accepted=counts.clips,
        quarantined=dict(Counter(item.reason for item in space.catalogue.quarantined(listing.corpus))),
        labelled=counts.labelled,
        unlabelled=counts.clips - counts.labelled,
        speakers=counts.speakers,
        probed_now=probed,
        equal=equal_contents(space.catalogue.clips_sharing_content(listing.corpus)),
        account=listing.account,
    )


def _recognise(listing: Listing, emotions: Sequence[str]) -> RecognisedCorpus:
    """The corpus once more, by the reader that was found for it."""
    from mer.corpora import recognise

    return recognise(
        Path(listing.root),
        emotions=emotions,
        name=listing.corpus,
        options=listing.options,
    )


def _warn_of_another_folder(space: Workspace, corpus: str, root: Path) -> None:
    """Folders of many corpora are called alike (data, wav): the name is the corpus, and it has one folder."""
    before = next((row.root for row in space.catalogue.corpora() if row.name == corpus), root)
    if before != root and before.is_dir():
        logging.getLogger(__name__).warning(
            "corpus %s was read from %s before, which is still there: its clips leave the catalogue for those of %s; two corpora "
            "need two names (--name)",
            corpus, before, root,
        )  # fmt: skip


def _set_aside_again(space: Workspace, recognised: RecognisedCorpus) -> None:
    """Set aside what the reader left out; what it no longer knows of leaves the quarantine."""
    left_out = [
        QuarantinedFile(
            name=item.name,
            path=str(item.path or recognised.root / item.name),
            reason=item.reason.value,
            detail=item.detail,
        )
        for item in recognised.left_out
    ]
    space.catalogue.quarantine_all(recognised.name, left_out)
    present = {item.path for item in left_out} | {str(entry.media) for entry in recognised.entries}
    held = {item.path for item in space.catalogue.quarantined(recognised.name)}
    space.catalogue.release(recognised.name, held - {storable(path) for path in present})


def _follow_the_table(space: Workspace, corpus: str, entries: Mapping[str, CorpusEntry]) -> None:
    """Forget files that are gone, and take over what the owner's table now says: labels, and the rest of unchanged files.

    Written is what differs: of a large corpus next to nothing, however many rows it has.
    """
    known = space.catalogue.known_files(corpus)
    space.catalogue.forget_files(corpus, [path for path in known if path not in entries])
    changed, labels = [], []
    said: dict[str, list[VoteRow]] = {}
    for row in space.catalogue.clips(corpus):
        path, entry = str(row.path), entries[str(row.path)]
        if (entry.emotion, _number(entry.valence)) != (row.emotion, row.valence):
            labels.append((row.name, entry.emotion, entry.valence))
        if entry.votes:
            said[row.name] = as_rows(entry.votes)
        declared = (entry.speaker, entry.split.value, entry.part, entry.fold, entry.transcript)
        if declared != (row.speaker, row.split, row.part, row.fold, row.transcript):
            changed.append(
                ClipUpsert(
                    name=row.name,
                    content=row.content,
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
                    part=entry.part,
                    fold=entry.fold,
                    transcript=entry.transcript,
                )
            )
    space.catalogue.upsert_clips(corpus, changed)
    space.catalogue.set_gold_labels(corpus, labels)
    space.catalogue.set_votes(corpus, changed_votes(space.catalogue.votes(corpus), said))


def _number(valence: float | None) -> float | None:
    return None if valence is None or valence != valence else float(valence)


def _set_aside(
    space: Workspace, corpus: str, entry: CorpusEntry, reason: QuarantineReason, detail: str
) -> None:
    space.catalogue.quarantine(corpus, entry.name, str(entry.media), reason.value, detail)
    said = f"clip {entry.name!r} of corpus {corpus} is set aside: {reason.value}"
    record(INFO, __name__, said, clip=storable(entry.name), reason=reason.value)
