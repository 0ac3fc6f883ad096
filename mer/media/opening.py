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
from mer.media.whole import check_whole


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
    min_sample_rate: int = Field(
        default=1_000, ge=1, description="Lowest sampling rate of sound, Hz; lower: bad_sample_rate."
    )
    max_sample_rate: int = Field(
        default=768_000,
        ge=8_000,
        le=4_000_000,
        description="Highest sampling rate of sound, Hz: what sound cards have; higher: bad_sample_rate.",
    )
    timeout_seconds: float = Field(
        default=15.0,
        gt=0,
        le=600,
        description="Processor time one file may take to probe or decode, seconds: timed_out.",
    )
    hang_seconds: float = Field(
        default=120.0,
        gt=0,
        le=3600,
        description="Wall-clock time after which a decoder that is still at one file is given up: timed_out, transient "
        "(a busy machine or a disk that does not answer is no fault of the file).",
    )


DEFAULT_LIMITS = MediaLimits()

ALLOWED_PROTOCOLS = "file"
"""FFmpeg's protocol whitelist: nothing in a file can make it open a network address or a pipe."""


class Deadline:
    """Budget of one file, checked between packets: processor time of this thread, which a busy machine does not change, and a
    generous wall-clock limit for a file that is waited for.
    """

    def __init__(self, limits: MediaLimits, name: str) -> None:
        self._limits = limits
        self._name = name
        self._processor_end = time.thread_time() + limits.timeout_seconds
        self._end = time.monotonic() + limits.hang_seconds

    def check(self) -> None:
        """Raise `MediaError` (`timed_out`) once the budget is spent; transient where it was only waited for."""
        if time.thread_time() > self._processor_end:
            raise MediaError(
                QuarantineReason.TIMED_OUT,
                f"{self._name} takes more than {self._limits.timeout_seconds:g} s of processor time",
            )
        if time.monotonic() > self._end:
            raise waited_too_long(self._name, self._limits)


def waited_too_long(name: str, limits: MediaLimits) -> MediaError:
    """The error of a file that was waited for, which says nothing of the file."""
    return MediaError(
        QuarantineReason.TIMED_OUT,
        f"{name}: not read within {limits.hang_seconds:g} s, though the processor was not busy with it; run again",
        transient=True,
    )


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
    check_whole(path, kind)
    deadline = Deadline(limits, path.name)
    try:
        container = av.open(
            f"file:{path.absolute()}",
            format=kind.demuxer,
            options={"protocol_whitelist": ALLOWED_PROTOCOLS, "max_pixels": str(limits.max_pixels)},
            timeout=(limits.hang_seconds, limits.hang_seconds),
            metadata_errors="replace",
        )
    except av.error.ExitError as error:
        raise waited_too_long(path.name, limits) from error
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
            raise waited_too_long(path.name, limits) from error
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
    """Refuse pictures, channel counts or sampling rates beyond the limits, and make the decoder refuse pictures too if they
    change later.

    Raises:
        MediaError: `too_large` or `bad_sample_rate`.
    """
    context = stream.codec_context
    name = Path(stream.container.name).name
    if stream.type == "video":
        pixels = max(context.width, context.coded_width) * max(context.height, context.coded_height)
        if pixels > limits.max_pixels:
            raise MediaError(
                QuarantineReason.TOO_LARGE,
                f"{name}: picture of {context.width} x {context.height}, the limit is {limits.max_pixels} pixels",
            )
        context.options = {"max_pixels": str(limits.max_pixels)}
        context.thread_count = 1  # clips are short and many: parallelism is over clips
        return
    if context.channels > limits.max_channels:
        raise MediaError(
            QuarantineReason.TOO_LARGE,
            f"{name}: {context.channels} audio channels, the limit is {limits.max_channels}",
        )
    if context.sample_rate:  # 0: only the first frame says it
        check_sample_rate(context.sample_rate, limits, name)


def check_sample_rate(rate: int, limits: MediaLimits, name: str) -> None:
    """Refuse a sampling rate that no sound card has: a header that lies would cost gigabytes to resample.

    Raises:
        MediaError: `bad_sample_rate`.
    """
    if not limits.min_sample_rate <= rate <= limits.max_sample_rate:
        raise MediaError(
            QuarantineReason.BAD_SAMPLE_RATE,
            f"{name}: sampling rate of {rate} Hz, expected {limits.min_sample_rate} to {limits.max_sample_rate} Hz",
        )
