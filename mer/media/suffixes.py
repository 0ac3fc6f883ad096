"""Which files of a folder are looked at as media, by their names. Ingestion and prediction share this one list.

The suffix only says that somebody means a file to be media; what it is, its first bytes say (`mer.media.sniff`).
"""

from __future__ import annotations

from pathlib import PurePath

VIDEO_SUFFIXES = frozenset(
    {
        ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".mkv", ".webm", ".wmv", ".asf", ".flv", ".f4v",
        ".mpg", ".mpeg", ".mpe", ".vob", ".ts", ".mts", ".m2ts", ".m2t", ".ogv",
    }
)  # fmt: skip
AUDIO_SUFFIXES = frozenset(
    {
        ".wav", ".wave", ".flac", ".mp3", ".mp2", ".m4a", ".m4b", ".mka", ".weba", ".ogg", ".oga", ".opus", ".aac", ".wma",
        ".aif", ".aiff", ".aifc", ".caf", ".amr", ".awb", ".au", ".snd",
    }
)  # fmt: skip
MEDIA_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over: `.x`, the resource fork `._x.mp4` that macOS writes beside x.mp4 on foreign
    disks, and the folder `__MACOSX` of such forks in an unpacked archive.
    """
    return name.startswith(".") or name == "__MACOSX"


def is_media_file(path: PurePath) -> bool:
    """Whether the name of `path` says that it is media: a suffix of `MEDIA_SUFFIXES` in any case, and not hidden.

    The file is not read, and need not exist.
    """
    return not is_hidden(path.name) and path.suffix.lower() in MEDIA_SUFFIXES
