"""Opening a file of unknown origin with PyAV: allow-listed container, no network, limits and time-outs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from pydantic import BaseModel, ConfigDict, Field

from mer.errors import MediaError, QuarantineReason
from mer.media.sniff import Container, check_name, check_regular_file, sniff


class MediaLimits(BaseModel):
    """Limits beyond which a clip is quarantined instead of decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_seconds: float = Field(
        default=600.0,
        gt=0,
        le=86_400,
        description="Longest clip in seconds, declared or real; longer: too_long.",
    )
    max_bytes: int = Field(default=2 << 30, gt=0, description="Largest file in bytes; larger: too_large.")
    max_pixels: int = Field(
        default=4096 * 2304,
        gt=0,
        le=2**31 - 1,
        description="Largest picture, width x height in pixels: too_large.",
    )
    max_streams: int = Field(
        default=16, ge=1, le=256, description="Most streams in one file; more: too_large."
    )
    max_channels: int = Field(default=32, ge=1, le=64, description="Most audio channels; more: too_large.")
    timeout_seconds: float = Field(
        default=15.0,
        gt=0,
        le=600,
        description="Wall-clock time one file may take to probe or decode: timed_out.",
    )


DEFAULT_LIMITS = MediaLimits()

ALLOWED_PROTOCOLS = "file"
"""FFmpeg's protocol whitelist: nothing in a file can make it open a network address or a pipe."""


class Deadline:
    """Wall-clock budget for one file, checked between packets (FFmpeg's own time-outs only cover waiting for
    input).
    """

    def __init__(self, seconds: float, name: str) -> None:
        self._seconds = seconds
        self._name = name
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raise `MediaError` (`timed_out`) once the budget is spent."""
        if time.monotonic() > self._end:
            raise MediaError(QuarantineReason.TIMED_OUT, f"{self._name} took longer than {self._seconds:g} s")


@contextmanager
def open_media(path: Path, limits: MediaLimits = DEFAULT_LIMITS) -> Iterator[tuple[Any, Container]]:
    """Open a media file for demuxing; yields (PyAV input container, what its first bytes say it is).

    Nothing has been decoded when the block is entered beyond what FFmpeg needs to learn the streams'
    parameters, and that is bounded by `limits.max_pixels`. FFmpeg errors raised inside the block come out as
    `MediaError` as well.

    Raises:
        MediaError: any reason of `check_name`, `check_regular_file`, `sniff`; `truncated`, `too_large`,
        `decode_failed`.
    """
    check_name(path.name)
    check_regular_file(path, max_bytes=limits.max_bytes)
    kind = sniff(path)
    if kind is Container.ISO:
        check_iso_boxes(path)
    deadline = Deadline(limits.timeout_seconds, path.name)
    try:
        container = av.open(
            f"file:{path.absolute()}",
            format=kind.demuxer,
            options={"protocol_whitelist": ALLOWED_PROTOCOLS, "max_pixels": str(limits.max_pixels)},
            timeout=(limits.timeout_seconds, limits.timeout_seconds),
            metadata_errors="replace",
        )
    except av.error.ExitError as error:
        raise MediaError(QuarantineReason.TIMED_OUT, f"{path.name}: opening timed out") from error
    except (av.error.FFmpegError, ValueError) as error:
        deadline.check()  # a demuxer that is interrupted may call it invalid data
        raise MediaError(
            QuarantineReason.DECODE_FAILED, f"{path.name}: cannot be opened as {kind.value}: {error}"
        ) from error
    with container:
        if len(container.streams) > limits.max_streams:
            raise MediaError(
                QuarantineReason.TOO_LARGE,
                f"{path.name} has {len(container.streams)} streams, limit {limits.max_streams}",
            )
        try:
            yield container, kind
        except av.error.ExitError as error:
            raise MediaError(QuarantineReason.TIMED_OUT, f"{path.name}: reading timed out") from error
        except av.error.FFmpegError as error:
            raise MediaError(QuarantineReason.DECODE_FAILED, f"{path.name}: {error}") from error


def usable_stream(container: Any, kind: str) -> Any | None:
    """First stream of `kind` ("audio" or "video") that has a decoder and is no cover picture; None if there
    is none.
    """
    for stream in container.streams:
        if stream.type == kind and stream.codec_context is not None and not _is_cover(stream):
            return stream
    return None


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def bound_decoder(stream: Any, limits: MediaLimits) -> None:
    """Refuse pictures or channel counts over the limits, and make the decoder refuse them too if they change
    later.

    Raises:
        MediaError: `too_large`.
    """
    context = stream.codec_context
    if stream.type == "video":
        pixels = max(context.width, context.coded_width) * max(context.height, context.coded_height)
        if pixels > limits.max_pixels:
            raise MediaError(
                QuarantineReason.TOO_LARGE,
                f"picture of {context.width} x {context.height}, the limit is {limits.max_pixels} pixels",
            )
        context.options = {"max_pixels": str(limits.max_pixels)}
        context.thread_count = 1  # clips are short and many: parallelism is over clips
    elif context.channels > limits.max_channels:
        raise MediaError(
            QuarantineReason.TOO_LARGE,
            f"{context.channels} audio channels, the limit is {limits.max_channels}",
        )


def check_iso_boxes(path: Path) -> None:
    """Walk the top-level boxes of an ISO (mp4, mov) file: a missing moov or a box past the end means it was
    cut.

    Raises:
        MediaError: `truncated`.
    """
    size = path.stat().st_size
    position = 0
    seen: set[tuple[bytes, int]] = set()
    with path.open("rb") as stream:
        while position + 8 <= size and len(seen) < 1000:
            stream.seek(position)
            header = stream.read(16)
            length, name = int.from_bytes(header[:4], "big"), header[4:8]
            if length == 1:  # 64-bit size follows
                length = int.from_bytes(header[8:16], "big") if len(header) == 16 else 0
            elif length == 0:  # to the end of the file
                length = size - position
            if length < 8:
                break  # zeros or rubbish after the last box: players ignore it
            if position + length > size:
                box = name.decode("ascii", "backslashreplace")
                raise MediaError(
                    QuarantineReason.TRUNCATED,
                    f"{path.name} was cut: its {box} box would end at byte {position + length}, the file ends at {size}",
                )
            seen.add((name, position))
            position += length
    if not any(name in {b"moov", b"moof"} for name, _ in seen):
        raise MediaError(QuarantineReason.TRUNCATED, f"{path.name} was cut: it has no index (moov box)")
