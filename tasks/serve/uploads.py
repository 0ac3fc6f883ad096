"""A file that was sent: what clip it is, or why it is none. Probed in a process of its own, like every file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath

from mer.clips import Clip, CorpusEntry
from mer.errors import MediaError, QuarantineReason
from mer.media.contained import shared_media
from mer.media.sniff import printable
from mer.media.suffixes import MEDIA_SUFFIXES
from tasks.data.probing import examine
from tasks.serve.predicted_media import Catalogued, Medium, UnusableMedia
from tasks.stage.workspace import Workspace

_LONGEST_NAME = 200


def shown_name(filename: str | None) -> str:
    """What a client called its file, as it is shown: the last part, printable, of bounded length."""
    name = printable(PurePath((filename or "").replace("\\", "/")).name)[:_LONGEST_NAME]
    return name or "clip"


def stored_suffix(filename: str | None) -> str:
    """Suffix of the file that a client's bytes are written to: its own where it is one of media, else none."""
    suffix = PurePath(shown_name(filename)).suffix.lower()
    return suffix if suffix in MEDIA_SUFFIXES else ""


def clip_of_upload(
    space: Workspace, path: Path, shown: str, transcript: str | None, longest_seconds: float
) -> Medium:
    """The clip in a file that was sent, or why it cannot be answered.

    A file whose content is catalogued has the words and features that are known of it, as for `mer predict`.

    Args:
        space: whose catalogue is asked.
        path: where it was written.
        shown: what its sender calls it; nothing is looked up by this name.
        transcript: what is spoken in it, if that was sent too.
        longest_seconds: a longer one is not answered.

    Raises:
        MediaError: transient, says something of this machine; the same file may be sent again.
        DecoderUnavailable: no file can be read now.
    """
    name = PurePath(shown).stem or shown
    try:
        found = examine(CorpusEntry(name=name, media=path), False, shared_media())
    except MediaError as error:
        if error.transient:
            raise
        said = str(error).replace(path.name, shown)
        return UnusableMedia(name, Path(shown), error.reason, said)
    if (found.duration_seconds or 0) > longest_seconds:
        said = f"{shown} lasts {found.duration_seconds:.1f} s, the limit is {longest_seconds:g} s"
        return UnusableMedia(name, Path(shown), QuarantineReason.TOO_LONG, said)
    known = Catalogued(space).of_content(name, path, found.content)
    clip = known or Clip(name=name, content=found.content, path=path, corpus_root=path.parent)
    return clip if transcript is None else replace(clip, transcript=transcript)
