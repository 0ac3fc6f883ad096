"""Whether a file is as long as it says: one rule for every container that declares its size, so half a file is `truncated`
whatever it is.

Each parser reads the few bytes in which its container declares where the file (or its sound) ends. Files written into a pipe
declare nothing there (0, or a largest number), nor do raw streams (mp3 without a Xing header, aac, amr, MPEG program and
transport streams): of these the part that is there is a clip. FLAC declares its samples, which `mer.media.probe` and
`mer.media.audio` compare.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from mer.errors import MediaError, QuarantineReason
from mer.media.iso_boxes import check_boxes
from mer.media.sniff import Container, id3_end

_HEADER_SLACK = 64
"""Bytes by which headers of sound files are wrong without anything being lost: padding, or their own length counted twice."""

_GRAPHIC_CONTROL = b"\xf9"
"""Label of the extension of a GIF that stands before an image."""

_PIPE_SIZE = 0x7FFF0000
"""A 32-bit size from here on stands for `not known`: into a pipe ffmpeg writes 2^32 - 1, sox a little less than 2^31."""


def check_whole(path: Path, kind: Container) -> None:
    """Compare the size that the container declares with the file's.

    Raises:
        MediaError: `truncated`; of ISO files also `unsafe_container` for media kept in other files.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        if kind is Container.ISO:
            check_boxes(stream, size, path.name)
        elif (declare := _DECLARED.get(kind)) is not None:
            try:
                end = declare(stream, size)
            except (
                OSError,
                OverflowError,
                ValueError,
            ):  # offsets that no file has: the demuxer will say what is wrong
                end = None
            if end is not None and end > size:
                raise truncated(path.name, f"it declares {end} bytes and has {size}")


def truncated(name: str, how: str) -> MediaError:
    """The error of a file that was cut."""
    return MediaError(QuarantineReason.TRUNCATED, f"{name} was cut: {how}")


def flac_seconds(path: Path) -> float | None:
    """Seconds of sound that a FLAC file declares; None where it does not say."""
    with path.open("rb") as stream:
        stream.seek(id3_end(stream.read(10)))
        head = stream.read(26)
    if head[:4] != b"fLaC" or len(head) < 26:
        return None
    packed = int.from_bytes(head[18:26], "big")  # 20 bits rate, 3 channels, 5 sample size, 36 samples
    rate, samples = packed >> 44, packed & ((1 << 36) - 1)
    return samples / rate if rate and samples else None


def _u32(data: bytes, order: str = "little") -> int:
    return int.from_bytes(data, "big" if order == "big" else "little")


def _known(size: int) -> bool:
    return 0 < size < _PIPE_SIZE


def _wave(stream: BinaryIO, size: int) -> int | None:
    head = stream.read(12)
    order = "big" if head[:4] == b"RIFX" else "little"
    outer, position, long_data = _u32(head[4:8], order), 12, 0
    for _ in range(100):
        stream.seek(position)
        chunk = stream.read(24)
        if len(chunk) < 8:
            break
        name, length = chunk[:4], _u32(chunk[4:8], order)
        if name == b"ds64":
            long_data = int.from_bytes(chunk[16:24], "little")
        if name == b"data":
            if head[:4] == b"RF64" and length == 0xFFFFFFFF:
                length = long_data if long_data < 1 << 62 else 0
            elif not _known(length):
                length = 0
            return position + 8 + length - _HEADER_SLACK if length else None
        position += 8 + length + length % 2
    return 8 + outer - _HEADER_SLACK if _known(outer) else None


def _avi(stream: BinaryIO, size: int) -> int | None:
    end, position = 0, 0
    while position + 12 <= size:  # OpenDML: several RIFF chunks, one after the other
        stream.seek(position)
        head = stream.read(8)
        length = _u32(head[4:])
        if head[:4] != b"RIFF" or not 0 < length < 0xFFFFFF00:
            break
        end = position + 8 + length
        position = end + end % 2
    return end - _HEADER_SLACK if end else None


def _aiff(stream: BinaryIO, size: int) -> int | None:
    length = _u32(stream.read(8)[4:], "big")
    return 8 + length - _HEADER_SLACK if _known(length) else None


def _au(stream: BinaryIO, size: int) -> int | None:
    head = stream.read(12)
    length = _u32(head[8:12], "big")
    return _u32(head[4:8], "big") + length - _HEADER_SLACK if _known(length) else None


def _caf(stream: BinaryIO, size: int) -> int | None:
    position = 8
    for _ in range(1000):
        stream.seek(position)
        head = stream.read(12)
        if len(head) < 12:
            break
        length = int.from_bytes(head[4:], "big", signed=True)
        if length < 0:  # sound up to the end of the file
            return None
        position += 12 + length
        if position > size:
            break
    return position


def _ogg(stream: BinaryIO, size: int) -> int | None:
    """Every page declares its size; the last one ends with the file."""
    begin = max(0, size - 70_000)  # a page has 65,307 bytes at most
    stream.seek(begin)
    tail = stream.read()
    position = tail.rfind(b"OggS\0")
    if position < 0:
        return None
    page = tail[position:]
    lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
    if len(page) <= 26 or len(lengths) < page[26]:
        return size + 1
    return begin + position + 27 + len(lengths) + sum(lengths)


def _matroska(stream: BinaryIO, size: int) -> int | None:
    stream.read(4)
    length, _ = _ebml_size(stream)
    stream.seek(length, 1)
    if stream.read(4) != b"\x18\x53\x80\x67":
        return None
    length, known = _ebml_size(stream)
    return stream.tell() + length if known else None


def _ebml_size(stream: BinaryIO) -> tuple[int, bool]:
    """Size of an EBML element, and whether it is known: all ones stand for `not known`."""
    first = stream.read(1)
    width = 9 - first[0].bit_length() if first else 9
    if width > 8:
        return 0, False
    rest = stream.read(width - 1)
    value = int.from_bytes(bytes([first[0] & ((1 << (8 - width)) - 1)]) + rest, "big")
    return value, value != (1 << (7 * width)) - 1


def _flv(stream: BinaryIO, size: int) -> int | None:
    head = stream.read(1 << 16)
    place = head.find(b"\0\x08filesize\0")
    if place < 0 or len(head) < place + 19:
        return None
    (declared,) = struct.unpack(">d", head[place + 11 : place + 19])
    return (
        int(declared * 0.95) if 0 < declared < 1 << 40 else None
    )  # rewritten metadata makes some files a little longer


def _asf(stream: BinaryIO, size: int) -> int | None:
    header = stream.read(30)
    objects = stream.read(min(1 << 20, max(0, int.from_bytes(header[16:24], "little") - 30)))
    place = objects.find(b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65")
    properties = objects[place : place + 92]
    if place < 0 or len(properties) < 92 or properties[88] & 1:  # a broadcast: its sizes mean nothing
        return None
    return (
        int.from_bytes(properties[40:48], "little") * 19 // 20
    )  # edited tags make some files a little shorter


def _mp3(stream: BinaryIO, size: int) -> int | None:
    """By the Xing, Info or VBRI header of the first frame."""
    begin = id3_end(stream.read(10))
    if begin > size:
        return begin
    stream.seek(begin)
    frame = stream.read(256)
    if len(frame) < 64 or frame[0] != 0xFF:
        return None
    full_rate, mono = frame[1] & 0x18 == 0x18, frame[3] & 0xC0 == 0xC0
    place = 4 + ((17 if mono else 32) if full_rate else (9 if mono else 17))
    length = 0
    if frame[place : place + 4] in {b"Xing", b"Info"} and frame[place + 7] & 2:
        bytes_at = place + 8 + (4 if frame[place + 7] & 1 else 0)
        length = _u32(frame[bytes_at : bytes_at + 4], "big")
    elif frame[36:40] == b"VBRI":
        length = _u32(frame[46:50], "big")
    return begin + length - length // 100 - 4 * _HEADER_SLACK if _known(length) else None


def _flac(stream: BinaryIO, size: int) -> int | None:
    """At least: its metadata, and all frames but the last at the smallest size that it declares."""
    position = id3_end(stream.read(10)) + 4
    least = 0
    for _ in range(1000):
        stream.seek(position)
        head = stream.read(38)
        if len(head) < 4:
            return position + 1
        if head[0] & 0x7F == 0 and len(head) == 38:
            block, frame = int.from_bytes(head[6:8], "big"), int.from_bytes(head[8:11], "big")
            samples = int.from_bytes(head[14:22], "big") & ((1 << 36) - 1)
            least = (samples - 1) // block * frame if samples and block else 0
        position += 4 + int.from_bytes(head[1:4], "big")
        if head[0] & 0x80:
            break
    return position + least


def _gif(stream: BinaryIO, size: int) -> int | None:
    """Blocks up to the trailer. Where it alone is missing, decoders read everything, so nothing was cut off."""

    def skip_table(flags: int) -> None:
        if flags & 0x80:
            stream.seek(3 << ((flags & 7) + 1), 1)

    head = stream.read(13)
    skip_table(head[10] if len(head) > 10 else 0)
    complete = False  # an image, and after it nothing that announces another one
    while (kind := stream.read(1)) in {b"\x21", b"\x2c"}:
        if kind == b"\x21":
            label = stream.read(1)
            complete = complete and label != _GRAPHIC_CONTROL
        else:
            complete = True
            descriptor = stream.read(9)
            skip_table(descriptor[8] if len(descriptor) > 8 else 0)
            stream.read(1)
        while (length := stream.read(1)) not in {b"", b"\0"}:
            stream.seek(length[0], 1)
        if not length:  # the block has no end
            return size + 1
    return size + 1 if kind == b"" and not complete else None


_DECLARED: dict[Container, Callable[[BinaryIO, int], int | None]] = {
    Container.WAV: _wave,
    Container.AVI: _avi,
    Container.AIFF: _aiff,
    Container.AU: _au,
    Container.CAF: _caf,
    Container.OGG: _ogg,
    Container.MATROSKA: _matroska,
    Container.FLV: _flv,
    Container.ASF: _asf,
    Container.MP3: _mp3,
    Container.FLAC: _flac,
    Container.GIF: _gif,
}
"""Where the file must end at least; None: it does not say."""
