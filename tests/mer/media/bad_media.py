"""What tests of bad media share: the readers, the reason each refuses a file with, and a picture too large to decode."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av

from mer.errors import MediaError, QuarantineReason
from mer.media.audio import decode_audio
from mer.media.frames import sample_frames
from mer.media.probe import probe

READERS: tuple[Callable[[Path], object], ...] = (probe, decode_audio, lambda path: sample_frames(path, 4))


def reason_of(read: Callable[[Path], object], path: Path) -> QuarantineReason | None:
    """Reason the reader refuses the file with, None where it reads it; anything but a MediaError fails the test."""
    started = time.monotonic()
    try:
        read(path)
    except MediaError as error:
        return error.reason
    finally:
        assert time.monotonic() - started < 30
    return None


def huge_picture(path: Path, width_in_header: int) -> None:
    """Write a mov file of one PNG picture of 16000 x 16000 black pixels, 32 kB in all."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(2001)) for _ in range(16_000)) + packer.flush()
    header = struct.pack(">IIBBBBB", 16_000, 16_000, 1, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    with av.open(str(path), "w", format="mov") as sink:
        stream = sink.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 160, "monob"
        packet = av.Packet(png)
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 25)
        sink.mux(packet)
    content = bytearray(path.read_bytes())
    entry = content.index(b"stsd") + 16  # version, flags, count, then the size and name of the sample entry
    content[entry + 28 : entry + 32] = struct.pack(">HH", width_in_header, width_in_header)
    path.write_bytes(content)
