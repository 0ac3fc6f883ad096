"""A fixed number of video frames, spread uniformly over the real duration of a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from mer.errors import MediaError, QuarantineReason
from mer.media.ffmpeg import decode_frames_by_ffmpeg
from mer.media.frame_plan import PacketMark, Stretch, middles, packet_marks, plan_stretches
from mer.media.opening import (
    DEFAULT_LIMITS,
    Deadline,
    MediaLimits,
    bound_decoder,
    open_media,
    usable_stream,
)
from mer.media.sniff import sniff

Picture = NDArray[np.uint8]


def sample_frames(
    path: Path, count: int, *, max_side: int = 1280, limits: MediaLimits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Sample frames at the middles of `count` equal parts of the video.

    Times come from the packets' own stamps, so a variable frame rate, a wrong declared rate or a wrong
    declared duration do not skew the choice; where stamps are missing, frames are counted instead. A video
    with fewer frames repeats them. All packets are read, which is cheap; only those from the keyframe before a
    wanted frame up to it are decoded. A frame that cannot be decoded is replaced by its neighbour.

    Args:
        path: media file.
        count: number of frames, >= 1.
        max_side: larger pictures are scaled down to this many pixels on the longer side.
        limits: what the file may cost.

    Returns:
        uint8 (count, height, width, 3), RGB, turned upright by the file's rotation mark.

    Raises:
        MediaError: `no_usable_stream` without video, `decode_failed` without a frame, or any reason of
        `open_media`.
    """
    if count < 1:
        raise ValueError(f"expected count >= 1, found {count}")
    deadline = Deadline(limits, path.name)
    marks, time_base = _marks(path, limits, deadline)
    stamps = _stamps(marks)
    pictures: dict[int, Picture] = {}
    if stamps is not None:
        order = [stamps[position] for position in middles(stamps, count)]
        stretches = plan_stretches(marks, order)
        pictures = dict(_by_stamp(path, stretches, max_side, limits, deadline))
    if not pictures:  # no stamps, or nothing could be decoded from a keyframe on: all packets, by number
        order = middles(range(sum(mark.shown for mark in marks) or len(marks)), count)
        pictures = dict(_by_number(path, order, max_side, limits, deadline))
    if not pictures:
        seconds = (
            (stamps[-1] - stamps[0]) * time_base * len(marks) / max(1, len(marks) - 1) if stamps else 0.0
        )
        return decode_frames_by_ffmpeg(path, sniff(path), count, seconds, max_side, limits)
    return np.stack(_of_one_size([pictures[_nearest(index, pictures)] for index in order]))


def _marks(path: Path, limits: MediaLimits, deadline: Deadline) -> tuple[list[PacketMark], float]:
    """Marks of all packets and the length of their time unit in seconds."""
    with open_media(path, limits) as (container, _):
        stream = usable_stream(container, "video")
        if stream is None:
            raise MediaError(QuarantineReason.NO_USABLE_STREAM, f"{path.name} has no video track")
        marks = packet_marks(container, stream, deadline)
        time_base = float(stream.time_base or 0)
    if not marks:
        raise MediaError(QuarantineReason.DECODE_FAILED, f"{path.name}: the video track is empty")
    return marks, time_base


def _stamps(marks: Sequence[PacketMark]) -> list[int] | None:
    """Presentation times of what is shown, ascending; None where a stamp is missing or most are repeated."""
    known = sorted(mark.pts for mark in marks if mark.pts is not None and mark.shown)
    meaningful = all(mark.pts is not None for mark in marks) and len(set(known)) > len(known) / 2
    return known if meaningful else None


def _by_stamp(
    path: Path, stretches: Sequence[Stretch], max_side: int, limits: MediaLimits, deadline: Deadline
) -> Iterator[tuple[int, Picture]]:
    """Pictures by requested presentation time; those that could not be decoded are left out."""
    with open_media(path, limits) as (container, _):
        stream: Any = usable_stream(container, "video")
        bound_decoder(stream, limits)
        packets = (packet for packet in container.demux(stream) if packet.size)
        number = -1
        for stretch in stretches:
            missing = set(stretch.stamps)
            for packet in packets:
                deadline.check()
                number += 1
                if number < stretch.begin:
                    continue
                frames = _decode(stream, packet)
                if number >= stretch.end:
                    frames += _decode(stream, None)
                for frame in frames:
                    if frame.pts in missing:
                        missing.remove(frame.pts)
                        yield frame.pts, _upright(frame, max_side)
                if number >= stretch.end:
                    break
            stream.codec_context.flush_buffers()


def _by_number(
    path: Path, numbers: Sequence[int], max_side: int, limits: MediaLimits, deadline: Deadline
) -> Iterator[tuple[int, Picture]]:
    """Pictures by their number among all decoded frames; what the video does not reach is left out."""
    with open_media(path, limits) as (container, _):
        stream = usable_stream(container, "video")
        bound_decoder(stream, limits)
        number, open_ = 0, set(numbers)
        for packet in container.demux(stream):
            deadline.check()
            for frame in _decode(stream, packet):
                if number in open_:
                    yield number, _upright(frame, max_side)
                number += 1
            if number > max(open_):
                return


def _decode(stream: Any, packet: Any | None) -> list[Any]:
    """Frames a packet (None: the end) gives; none for a corrupt one. A whole-file decode would stop there."""
    try:
        return list(stream.codec_context.decode(packet))
    except av.error.ExitError:
        raise
    except (av.error.FFmpegError, ValueError):
        return []


def _upright(frame: Any, max_side: int) -> Picture:
    """The frame as RGB, scaled to fit and turned by its rotation mark."""
    scale = min(1.0, max_side / max(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    picture = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(picture, k=round(frame.rotation / 90) % 4))


def _nearest(index: int, pictures: dict[int, Picture]) -> int:
    return index if index in pictures else min(pictures, key=lambda other: abs(other - index))


def _of_one_size(pictures: Sequence[Picture]) -> list[Picture]:
    """A stream may change its resolution: the first picture's size counts."""
    height, width = pictures[0].shape[:2]
    return [
        picture
        if picture.shape[:2] == (height, width)
        else np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        for picture in pictures
    ]
