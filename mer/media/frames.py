"""A fixed number of video frames, spread uniformly over the real duration of a clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from mer.errors import MediaError, QuarantineReason
from mer.media.opening import (
    DEFAULT_LIMITS,
    Deadline,
    MediaLimits,
    bound_decoder,
    open_media,
    usable_stream,
)


def sample_frames(
    path: Path, count: int, *, max_side: int = 1280, limits: MediaLimits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Sample frames at the middles of `count` equal parts of the video.

    Times come from the packets' own stamps, so a variable frame rate, a wrong declared rate or a wrong
    declared duration do not skew the choice; where stamps are missing, frames are counted instead. A video
    with fewer frames repeats them.

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
    deadline = Deadline(limits.timeout_seconds, path.name)
    stamps = _packet_times(path, limits, deadline)
    if not stamps:
        raise MediaError(QuarantineReason.DECODE_FAILED, f"{path.name}: the video track is empty")
    wanted = _wanted(stamps, count)
    chosen: list[NDArray[np.uint8]] = []
    held: Any = None
    size: tuple[int, int] | None = None
    for position, frame in enumerate(_decoded(path, limits, deadline)):
        size = size or _fitting_size(frame.width, frame.height, max_side)
        # the frame shown at time t is the last one whose position is <= that of t
        while held is not None and len(chosen) < count and wanted[len(chosen)] < position:
            _take(chosen, held, size, wanted)
        held = frame
        if len(chosen) == count:
            break
    if held is None or size is None:
        raise MediaError(QuarantineReason.DECODE_FAILED, f"{path.name}: no video frame could be decoded")
    while len(chosen) < count:
        _take(chosen, held, size, wanted)
    return np.stack(chosen)


def _packet_times(path: Path, limits: MediaLimits, deadline: Deadline) -> list[float]:
    """Presentation times of all video packets in seconds, sorted; packet numbers where any stamp is
    missing.
    """
    with open_media(path, limits) as (container, _):
        stream = usable_stream(container, "video")
        if stream is None:
            raise MediaError(QuarantineReason.NO_USABLE_STREAM, f"{path.name} has no video track")
        times: list[float | None] = []
        try:
            for packet in container.demux(stream):
                deadline.check()
                if packet.size:
                    times.append(None if packet.pts is None else float(packet.pts * packet.time_base))
        except av.error.ExitError:
            raise
        except av.error.FFmpegError:
            pass  # the readable part counts
    known = sorted(time for time in times if time is not None)
    return known if len(known) == len(times) else [float(number) for number in range(len(times))]


def _wanted(stamps: list[float], count: int) -> list[int]:
    """Positions (in presentation order) of the frames shown at the middles of `count` equal parts."""
    last = stamps[-1] + (stamps[-1] - stamps[0]) / max(
        1, len(stamps) - 1
    )  # the last frame is shown for a while too
    middles = stamps[0] + (np.arange(count) + 0.5) / count * (last - stamps[0])
    positions = np.searchsorted(np.asarray(stamps), middles, side="right") - 1
    return [int(position) for position in np.clip(positions, 0, len(stamps) - 1)]


def _decoded(path: Path, limits: MediaLimits, deadline: Deadline) -> Iterator[Any]:
    with open_media(path, limits) as (container, _):
        stream = usable_stream(container, "video")
        bound_decoder(stream, limits)
        for packet in container.demux(stream):
            deadline.check()
            try:
                frames = packet.decode()
            except (av.error.FFmpegError, ValueError):
                continue
            yield from frames


def _take(chosen: list[NDArray[np.uint8]], frame: Any, size: tuple[int, int], wanted: list[int]) -> None:
    """Append the frame as RGB; a repeated position reuses the picture made for it."""
    if chosen and wanted[len(chosen)] == wanted[len(chosen) - 1]:
        chosen.append(chosen[-1])
        return
    picture = frame.reformat(width=size[0], height=size[1], format="rgb24").to_ndarray()
    chosen.append(np.ascontiguousarray(np.rot90(picture, k=round(frame.rotation / 90) % 4)))


def _fitting_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
