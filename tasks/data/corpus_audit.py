"""The audit of a corpus: its lists, the hashes of its files, and their sound. Needs no server, no catalogue and no home."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from mer.audit.audit import Audit, audit_protocol
from mer.audit.protocol import clips_of_entries, protocol_of_entries, read_protocol
from mer.audit.sounds import SECONDS, HeardClip, heard
from mer.clips import CorpusEntry
from mer.corpora.options import ReadingOptions
from mer.errors import CorpusError, MediaError

if TYPE_CHECKING:
    from mer.media.contained import ContainedMedia

Progress = Callable[[int, int], None]
_BLOCK = 1 << 20


def audit_list(path: Path) -> Audit:
    """Audit a list without media. Raises CorpusError."""
    return audit_protocol(read_protocol(path))


def audit_folder(
    root: Path,
    emotions: Sequence[str],
    options: ReadingOptions,
    folds: Path | None = None,
    *,
    listen: bool = True,
    progress: Progress | None = None,
) -> Audit:
    """Audit a corpus folder.

    Args:
        root: folder of the corpus.
        emotions: classes that its labels are read as.
        options: how it is read.
        folds: list of the protocol; None: that of the corpus itself.
        listen: whether sounds are compared as well.
        progress: called with (files done, files in all).

    Raises:
        CorpusError: the corpus or the list cannot be read, or there is no protocol.
    """
    from mer.corpora import recognise
    from mer.media.contained import ContainedMedia

    recognised = recognise(root, emotions=emotions, options=options)
    entries = recognised.entries
    if not entries:
        raise CorpusError(
            f"audit: expected clips in {root}, found none that can be used; `mer check` says why"
        )
    protocol = (
        protocol_of_entries(entries)
        if folds is None
        else read_protocol(folds).dealt(clips_of_entries(entries))
    )
    workers = min(len(entries), os.cpu_count() or 1)
    contents: list[str] = []
    sounds: list[HeardClip | None] = []
    with ContainedMedia(workers) as media, ThreadPoolExecutor(workers) as pool:
        looked = pool.map(lambda entry: (_content(entry), _heard(entry, media) if listen else None), entries)
        for done, (content, sound) in enumerate(looked, 1):
            contents.append(content)
            sounds.append(sound)
            if progress is not None:
                progress(done, len(entries))
    any_sound = any(sound is not None for sound in sounds)
    return audit_protocol(protocol, contents, sounds if any_sound else ())


def _content(entry: CorpusEntry) -> str:
    """Hash of the clip's file; empty where it cannot be read."""
    digest = hashlib.sha256()
    try:
        for path in entry.precomputed or (entry.media,):
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def _heard(entry: CorpusEntry, media: ContainedMedia) -> HeardClip | None:
    if entry.precomputed:
        return None
    try:
        return heard(media.decode_audio(entry.media, max_seconds=SECONDS))
    except MediaError:
        return None
