"""The boxes of an ISO file (mp4, mov, m4a, 3gp): whether all of it is there, and whether its media are in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from mer.errors import MediaError, QuarantineReason

_MOST_BOXES = 1000
_MOST_INDEX_BYTES = 64 << 20
_MEDIA_HEADERS = frozenset({b"vmhd", b"smhd"})


def check_boxes(stream: BinaryIO, size: int, name: str) -> None:
    """Walk the top-level boxes: a missing moov or a box past the end means that the file was cut.

    Raises:
        MediaError: `truncated`, or `unsafe_container` where a track of sound or pictures lies in another file.
    """
    position = 0
    seen: set[bytes] = set()
    for _ in range(_MOST_BOXES):
        if position + 8 > size:
            break
        stream.seek(position)
        header = stream.read(16)
        length, box = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:  # 64-bit size follows
            length = int.from_bytes(header[8:16], "big") if len(header) == 16 else 0
        elif length == 0:  # to the end of the file
            length = size - position
        if length < 8:
            break  # zeros or rubbish after the last box: players ignore it
        if position + length > size:
            shown = box.decode("ascii", "backslashreplace")
            raise MediaError(
                QuarantineReason.TRUNCATED,
                f"{name} was cut: its {shown} box would end at byte {position + length}, the file ends at {size}",
            )
        if box == b"moov" and length <= _MOST_INDEX_BYTES:
            stream.seek(position)
            _check_references(stream.read(length), name)
        seen.add(box)
        position += length
    if not seen & {b"moov", b"moof"}:
        raise MediaError(QuarantineReason.TRUNCATED, f"{name} was cut: it has no index (moov box)")


def _check_references(moov: bytes, name: str) -> None:
    """Refuse tracks whose samples lie in another file or at an address."""
    for _, track in _boxes(moov, 8, b"trak"):
        for _, media in _boxes(track, 8, b"mdia"):
            for _, information in _boxes(media, 8, b"minf"):
                kinds = {kind for kind, _ in _boxes(information, 8)}
                for _, data in _boxes(information, 8, b"dinf"):
                    for _, references in _boxes(data, 8, b"dref"):
                        if kinds & _MEDIA_HEADERS and any(
                            len(entry) >= 12 and not entry[11] & 1 for _, entry in _boxes(references, 16)
                        ):
                            raise MediaError(
                                QuarantineReason.UNSAFE_CONTAINER,
                                f"{name} refers to media in another file: export it with its media in it",
                            )


def _boxes(parent: bytes, begin: int, only: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
    """(kind, whole box) of the boxes inside `parent` from byte `begin` on."""
    position = begin
    while position + 8 <= len(parent):
        length, kind = (
            int.from_bytes(parent[position : position + 4], "big"),
            parent[position + 4 : position + 8],
        )
        if length < 8:
            return
        if only is None or kind == only:
            yield kind, parent[position : position + length]
        position += length
