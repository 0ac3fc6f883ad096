"""Recognition of a file's container by its first bytes, never by its name.

FFmpeg would guess the format itself, and its guesses include formats that open other files or network
addresses (HLS playlists, ffconcat, SDP, DASH). So the container is recognised here from an allow list, and
FFmpeg is then told which demuxer to use (`Container.demuxer`): a playlist renamed .mp4 never reaches a
demuxer that would follow it.
"""

from __future__ import annotations

import stat
import unicodedata
from enum import Enum
from pathlib import Path

from mer.errors import MediaError, QuarantineReason


class Container(Enum):
    """A container of the allow list; the value is FFmpeg's demuxer name."""

    ISO = "mov"
    MATROSKA = "matroska"
    AVI = "avi"
    WAV = "wav"
    FLAC = "flac"
    OGG = "ogg"
    MP3 = "mp3"
    AAC = "aac"
    AIFF = "aiff"
    FLV = "flv"
    ASF = "asf"
    MPEG_PS = "mpeg"
    MPEG_TS = "mpegts"
    MPEG_VIDEO = "mpegvideo"
    CAF = "caf"
    AMR = "amr"
    AU = "au"
    GIF = "gif"

    @property
    def demuxer(self) -> str:
        """Name to give to FFmpeg as the input format."""
        return self.value


_ISO_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot"})
_PREFIXES: tuple[tuple[bytes, Container], ...] = (
    (b"\x1a\x45\xdf\xa3", Container.MATROSKA),
    (b"fLaC", Container.FLAC),
    (b"OggS", Container.OGG),
    (b"FLV\x01", Container.FLV),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Container.ASF),
    (b"\x00\x00\x01\xba", Container.MPEG_PS),
    (b"\x00\x00\x01\xb3", Container.MPEG_VIDEO),
    (b"caff", Container.CAF),
    (b"#!AMR", Container.AMR),
    (b".snd", Container.AU),
    (b"GIF87a", Container.GIF),
    (b"GIF89a", Container.GIF),
)
_TS_PACKETS = ((188, 0), (192, 4), (204, 0))
"""Bytes from one packet of a transport stream to the next, and before the first sync byte (G): plain, with the time codes of
Blu-ray and AVCHD (BDAV), with check sums.
"""
_REFERRING_TEXT = (
    b"#EXTM3U",
    b"ffconcat",
    b"v=0",
    b"<?xml",
    b"<MPD",
    b"<smil",
    b"[playlist]",
    b"[Reference]",
    b"rtsp:",
)
"""First bytes of formats that refer to other files or addresses."""

MAX_NAME_BYTES = 200
"""Longest file name in bytes: names of features and of temporary files are made by appending to it (255 is
the limit).
"""

_REFUSED_CHARACTERS = frozenset("/\\|")
"""Separators of folders, and what makes a spreadsheet start a program."""
_REFUSED_FIRST = frozenset("=+@")
_CONTROL = frozenset({"Cc", "Zl", "Zp"})
"""Unicode's control characters and ends of lines; what only joins letters, as in many emoji, is part of a name."""


def check_name(name: str) -> None:
    """Refuse file names that are folders or formulas to some later reader of our tables.

    Nothing here is ever passed through a shell, and programs get absolute paths: names that begin with `-`, hold `;$()*?` or
    are not UTF-8 are names like others. But names end up in CSV files and object keys.

    Raises:
        MediaError: `unsafe_name`.
    """
    problem = None
    encoded = name.encode("utf-8", "surrogateescape")
    if name in {"", ".", ".."}:
        problem = "is empty or a folder reference"
    elif len(encoded) > MAX_NAME_BYTES:
        problem = f"has {len(encoded)} bytes, at most {MAX_NAME_BYTES} are allowed"
    elif name[0] in _REFUSED_FIRST:
        problem = f"begins with {name[0]!r}"
    elif any(unicodedata.category(character) in _CONTROL for character in name):
        problem = "has control characters"
    elif refused := sorted(_REFUSED_CHARACTERS.intersection(name)):
        problem = f"has {' '.join(refused)}"
    if problem:
        raise MediaError(
            QuarantineReason.UNSAFE_NAME, f"file name {printable(name)} {problem}: rename the file"
        )


def printable(name: str) -> str:
    """The name with whatever cannot be printed or stored as UTF-8 escaped."""
    safe = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in safe)


def check_regular_file(path: Path, *, max_bytes: int) -> int:
    """Return the size in bytes of a regular file (a link is followed; FIFOs, devices, sockets, folders are
    refused).

    Raises:
        MediaError: `missing_media`, `not_a_regular_file`, `empty_file` or `too_large`.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise MediaError(
            QuarantineReason.MISSING_MEDIA, f"no file at {printable(str(path))}: {error}"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(QuarantineReason.NOT_A_REGULAR_FILE, f"{path.name} is not a regular file")
    if status.st_size == 0:
        raise MediaError(QuarantineReason.EMPTY_FILE, f"{path.name} has 0 bytes")
    if status.st_size > max_bytes:
        raise MediaError(
            QuarantineReason.TOO_LARGE, f"{path.name} has {status.st_size} bytes, the limit is {max_bytes}"
        )
    return status.st_size


def sniff(path: Path) -> Container:
    """Recognise the container from the first bytes of a regular file.

    Raises:
        MediaError: `unsafe_container` for a playlist or session description, `not_media` for anything else
        unknown.
    """
    try:
        with path.open("rb") as stream:
            head, tagged = stream.read(1024), False
            for _ in range(4):  # some taggers write one tag in front of another
                if not head.startswith(b"ID3"):
                    break
                stream.seek(id3_end(head) - len(head), 1)
                head, tagged = stream.read(1024), True
    except OSError as error:
        raise MediaError(QuarantineReason.MISSING_MEDIA, f"cannot read {path.name}: {error}") from error
    container = _by_magic(head)
    if container is not None:
        return container
    if tagged:
        return Container.MP3
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(_REFERRING_TEXT):
        raise MediaError(
            QuarantineReason.UNSAFE_CONTAINER,
            f"{path.name} is a playlist or session description, which would open other files or addresses",
        )
    raise MediaError(
        QuarantineReason.NOT_MEDIA, f"{path.name} begins like none of the known audio or video containers"
    )


def id3_end(head: bytes) -> int:
    """Bytes that the ID3 tag at the beginning of a file takes, by its first ten bytes; 0 without one."""
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    length = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return 10 + length + (10 if head[5] & 0x10 else 0)


def _by_magic(head: bytes) -> Container | None:
    if head[4:8] in _ISO_BOXES:
        return Container.ISO
    for prefix, container in _PREFIXES:
        if head.startswith(prefix):
            return container
    if head[:4] in {b"RIFF", b"RIFX", b"RF64"}:
        return {b"AVI ": Container.AVI, b"WAVE": Container.WAV}.get(head[8:12])
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return Container.AIFF
    for packet, begin in _TS_PACKETS:
        if head[begin : begin + 2 * packet + 1 : packet] == b"GGG":
            return Container.MPEG_TS
    if len(head) > 4 and head[0] == 0xFF:  # raw frames: 12 bits of sync, then a layer field
        if head[1] & 0xF6 == 0xF0:
            return Container.AAC
        if head[1] & 0xE6 == 0xE2 and head[2] & 0xF0 != 0xF0 and head[2] & 0x0C != 0x0C:
            return Container.MP3
    return None
