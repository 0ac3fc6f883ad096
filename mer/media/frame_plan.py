"""Which packets of a video must be decoded to see the frames wanted: from the keyframe before each one on, no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import av
import numpy as np

from mer.media.opening import Deadline

_LEAST_SKIP = 4
"""Packets: for fewer, draining and restarting the decoder costs more than decoding on."""


class PacketMark(NamedTuple):
    """Header of one video packet, as the container gives it."""

    pts: int | None
    """Presentation time in the stream's time base."""
    key: bool
    """Decoding can start here."""
    shown: bool
    """Not cut away by an edit list."""


@dataclass
class Stretch:
    """Packets `begin`..`end` (positions in decoding order, both included) give the frames at `stamps`."""

    begin: int
    end: int
    stamps: list[int]
    """Presentation times, each once."""


def packet_marks(container: Any, stream: Any, deadline: Deadline) -> list[PacketMark]:
    """Marks of all packets with data, in decoding order, up to the first place that cannot be read."""
    marks: list[PacketMark] = []
    try:
        for packet in container.demux(stream):
            deadline.check()
            if packet.size:
                marks.append(PacketMark(packet.pts, bool(packet.is_keyframe), not packet.is_discard))
    except av.error.ExitError:
        raise
    except av.error.FFmpegError:
        pass  # the readable part counts
    return marks


def middles(stamps: Sequence[int], count: int) -> list[int]:
    """Positions in `stamps` (ascending, at least one) of what is shown at the middles of `count` equal parts.

    The last frame is taken to be shown for as long as the others on average.
    """
    last = stamps[-1] + (stamps[-1] - stamps[0]) / max(1, len(stamps) - 1)
    times = stamps[0] + (np.arange(count) + 0.5) / count * (last - stamps[0])
    positions = np.searchsorted(np.asarray(stamps), times, side="right") - 1
    return [int(position) for position in np.clip(positions, 0, len(stamps) - 1)]


def plan_stretches(marks: Sequence[PacketMark], stamps: Sequence[int]) -> list[Stretch]:
    """Stretches, in decoding order, that lead to the frames with these presentation times.

    A frame needs everything from the last keyframe that is shown no later than it (frames that precede their
    keyframe in time, as open groups of pictures have them, refer to the group before). Stretches that meet, or
    nearly, become one.

    Args:
        marks: all with a presentation time.
        stamps: presentation times of packets.
    """
    position = {mark.pts: number for number, mark in enumerate(marks)}
    position |= {mark.pts: number for number, mark in enumerate(marks) if mark.shown}
    keys = [number for number, mark in enumerate(marks) if mark.key]
    stretches: list[Stretch] = []
    for stamp in sorted(set(stamps)):
        end = position[stamp]
        before = [number for number in keys if number <= end and (marks[number].pts or 0) <= stamp]
        begin = before[-1] if before else 0
        if stretches and begin <= stretches[-1].end + _LEAST_SKIP:
            stretches[-1].begin = min(stretches[-1].begin, begin)
            stretches[-1].end = max(stretches[-1].end, end)
            stretches[-1].stamps.append(stamp)
        else:
            stretches.append(Stretch(begin, end, [stamp]))
    return stretches
