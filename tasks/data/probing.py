"""One clip of a corpus, looked at: whether it changed, what it holds, and what it is by content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infra.catalogue import ClipUpsert
from mer.clips import CorpusEntry
from mer.errors import MediaError, QuarantineReason

if TYPE_CHECKING:
    from mer.media.contained import ContainedMedia


def entry_stamp(entry: CorpusEntry) -> tuple[int, int] | None:
    """Stamp of a clip: of its media file, or over all the feature files it consists of."""
    stamps = [file_stamp(path) for path in entry.precomputed or (entry.media,)]
    whole = [stamp for stamp in stamps if stamp is not None]
    if len(whole) < len(stamps):
        return None
    return sum(size for size, _ in whole), max(changed for _, changed in whole)


def file_stamp(path: Path) -> tuple[int, int] | None:
    """(size in bytes, modification time in ns): a file with the stamp it was catalogued with is not read again."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def examine(entry: CorpusEntry, require_audio: bool, contained: ContainedMedia) -> ClipUpsert:
    """Probe (in a process of its own) and hash a clip's media, or hash the feature files of a clip without media.

    Raises:
        MediaError: it cannot be used, with the reason to store in quarantine.
    """
    from mer.media.content_hash import sha256_file
    from mer.media.failures import failures_of
    from mer.media.probe import require_streams

    stamp = entry_stamp(entry)
    if stamp is None:
        raise MediaError(
            QuarantineReason.MISSING_MEDIA, f"{entry.media.name}: the file is not there any more"
        )
    if entry.precomputed:
        return _examine_precomputed(entry, stamp, require_audio)
    with failures_of(entry.media.name):
        probe = contained.probe(entry.media)
        content = sha256_file(entry.media)
    require_streams(probe, audio=require_audio, video=False)
    return ClipUpsert(
        name=entry.name,
        content=content,
        path=str(entry.media),
        size=stamp[0],
        mtime_ns=stamp[1],
        duration_seconds=probe.duration_seconds,
        has_audio=probe.has_audio,
        has_video=probe.has_video,
        width=probe.width,
        height=probe.height,
        speaker=entry.speaker,
        split=entry.split.value,
        part=entry.part,
        fold=entry.fold,
        transcript=entry.transcript,
    )


def _examine_precomputed(entry: CorpusEntry, stamp: tuple[int, int], require_audio: bool) -> ClipUpsert:
    """A clip without media: its content is that of its feature files; neither sound nor pictures."""
    from mer.corpora.feature_files import precomputed_content, without_sound

    if require_audio:
        raise MediaError(QuarantineReason.NO_AUDIO, without_sound(entry.name))
    return ClipUpsert(
        name=entry.name,
        content=precomputed_content(entry),
        path=str(entry.media),
        size=stamp[0],
        mtime_ns=stamp[1],
        duration_seconds=None,
        has_audio=False,
        has_video=False,
        speaker=entry.speaker,
        split=entry.split.value,
        part=entry.part,
        fold=entry.fold,
        transcript=entry.transcript,
    )
