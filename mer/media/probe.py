"""Facts about one media file, found without trusting its name, its header or its size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from mer.errors import MediaError, QuarantineReason
from mer.media.opening import (
    DEFAULT_LIMITS,
    Deadline,
    MediaLimits,
    bound_decoder,
    open_media,
    usable_stream,
)
from mer.media.sniff import Container
from mer.media.whole import flac_seconds, truncated

__all__ = ["MediaLimits", "Probe", "probe", "require_streams"]

_DECLARED_SLACK_SECONDS = 0.5
_DECLARED_SLACK_SHARE = 0.1
_EXACT_SLACK_SECONDS = 0.05
_EXACT_SLACK_SHARE = 0.01
_PACKETS_TRIED = 600
"""Packets with data that are decoded in search of a first frame: recordings of broadcasts begin in the middle of a group of
pictures, and lossless trims with one that is hidden (it is not counted here).
"""
_ESTIMATED = frozenset(
    {
        Container.MPEG_TS, Container.MPEG_PS, Container.MPEG_VIDEO, Container.MP3, Container.AAC, Container.AMR, Container.AVI,
    }
)  # fmt: skip
"""Containers whose duration FFmpeg reckons from bit rates, from time stamps that may wrap, or (AVI) from a number of frames that
means nothing in a file written into a pipe. What a RIFF or Xing header declares, `mer.media.whole` compares.
"""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Streams of a file. Only streams of which at least one frame could be decoded are counted."""

    duration_seconds: float
    """Real duration: the longest usable stream, from the time stamps of its packets."""
    has_audio: bool
    has_video: bool
    width: int | None
    height: int | None
    fps: float | None
    """Mean frame rate: frames over duration; None for fewer than two frames."""
    video_frames: int
    sample_rate: int | None
    channels: int | None
    container: str
    """FFmpeg's demuxer name, from the first bytes of the file."""
    audio_codec: str | None
    video_codec: str | None


@dataclass
class _Tally:
    """Running account of one stream's packets, as far as a player shows them.

    Packets before the visible part (lead-in of a lossless trim, priming of an audio encoder) are marked to be discarded; they
    are decoded, since the first visible frame may refer to them, and not counted.
    """

    stream: Any
    packets: int = 0
    """That are shown."""
    first: float | None = None
    last: float = 0.0
    decoded: bool = False
    attempts: int = 0

    @property
    def seconds(self) -> float:
        return max(0.0, self.last - self.first) if self.first is not None else 0.0

    def add(self, packet: Any) -> None:
        if packet.size == 0:  # the flush at the end: decoders with delay give their first frame only now
            if self.packets and not self.decoded:
                self._try_decoding(packet)
            return
        if packet.is_discard:
            if not self.decoded:
                self._try_decoding(packet)
            return
        self.packets += 1
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and packet.time_base is not None:
            start = float(stamp * packet.time_base)
            end = start + float((packet.duration or 0) * packet.time_base)
            if self.stream.type == "audio" and start < 0 < end:
                start = 0.0  # of the first packet the samples before 0 are not heard
            self.first = start if self.first is None else min(self.first, start)
            self.last = max(self.last, end)
        if not self.decoded and self.attempts < _PACKETS_TRIED:
            self.attempts += 1
            self._try_decoding(packet)

    def _try_decoding(self, packet: Any) -> None:
        try:
            self.decoded = bool(packet.decode())
        except (av.error.FFmpegError, ValueError, MemoryError):
            return  # one corrupt packet: the next may do


def probe(path: Path, limits: MediaLimits = DEFAULT_LIMITS) -> Probe:
    """Find out what a file holds: read every packet, decode one frame of each stream.

    Reads the whole file once (about 1 ms for a short clip), so a declared duration is checked against the
    real one.

    Raises:
        MediaError: whatever makes the clip unusable, with its reason. A missing audio or video track is for
            `require_streams` to refuse; here only a file with neither is an error (`no_usable_stream`).
    """
    deadline = Deadline(limits, path.name)
    with open_media(path, limits) as (container, kind):
        declared = container.duration / av.time_base if container.duration else 0.0
        if declared > limits.max_seconds and kind not in _ESTIMATED:
            raise _too_long(path, declared, limits)
        tallies = _tally_packets(container, path, limits, deadline)
        declared = _declared_seconds(container, tallies)
    audio, video = tallies.get("audio"), tallies.get("video")
    if audio is None and video is None:
        raise MediaError(
            QuarantineReason.NO_USABLE_STREAM,
            f"{path.name} has no audio or video that can be decoded within {limits.max_pixels} pixels a picture",
        )
    seconds = max(tally.seconds for tally in tallies.values())
    if kind is Container.FLAC:
        _check_not_cut(path, flac_seconds(path) or 0.0, seconds, _EXACT_SLACK_SECONDS, _EXACT_SLACK_SHARE)
    elif kind not in _ESTIMATED:
        # some containers count their duration from zero, whenever the first packet comes
        _check_not_cut(path, declared, max(seconds, *(tally.last for tally in tallies.values())))
    return Probe(
        duration_seconds=seconds,
        has_audio=audio is not None,
        has_video=video is not None,
        width=video.stream.codec_context.width if video else None,
        height=video.stream.codec_context.height if video else None,
        fps=_frame_rate(video) if video else None,
        video_frames=video.packets if video else 0,
        sample_rate=audio.stream.codec_context.sample_rate if audio else None,
        channels=audio.stream.codec_context.channels if audio else None,
        container=kind.demuxer,
        audio_codec=audio.stream.codec_context.name if audio else None,
        video_codec=video.stream.codec_context.name if video else None,
    )


def require_streams(probed: Probe, *, audio: bool = True, video: bool = False) -> None:
    """Refuse a clip that lacks a stream the caller cannot do without.

    Raises:
        MediaError: `no_audio` or `no_usable_stream` (no video).
    """
    if audio and not probed.has_audio:
        raise MediaError(QuarantineReason.NO_AUDIO, "expected an audio track that can be decoded, found none")
    if video and not probed.has_video:
        raise MediaError(
            QuarantineReason.NO_USABLE_STREAM, "expected a video track that can be decoded, found none"
        )


def _tally_packets(container: Any, path: Path, limits: MediaLimits, deadline: Deadline) -> dict[str, _Tally]:
    """Read all packets; returns the tallies of the streams of which a frame could be decoded."""
    tallies: dict[str, _Tally] = {}
    for kind in ("audio", "video"):
        stream = usable_stream(container, kind)
        if stream is not None:
            bound_decoder(stream, limits)
            tallies[kind] = _Tally(stream)
    if not tallies:
        return {}
    by_index = {tally.stream.index: tally for tally in tallies.values()}
    try:
        for packet in container.demux([tally.stream for tally in tallies.values()]):
            deadline.check()
            tally = by_index[packet.stream.index]  # `packet.stream_index` is 0 for every flush packet
            tally.add(packet)
            if tally.seconds > limits.max_seconds:
                raise _too_long(path, tally.seconds, limits)
    except av.error.ExitError:
        raise
    except av.error.FFmpegError:
        pass  # unreadable from here on: the durations below tell whether too much is missing
    return {kind: tally for kind, tally in tallies.items() if tally.decoded}


def _declared_seconds(container: Any, tallies: dict[str, _Tally]) -> float:
    """Seconds that the file declares for the streams that are counted, 0 where it does not say.

    Subtitles or a second language may last longer than these and make the file's duration theirs.
    """
    if len(tallies) == len(container.streams):
        return container.duration / av.time_base if container.duration else 0.0
    durations = [float((tally.stream.duration or 0) * tally.stream.time_base) for tally in tallies.values()]
    return max(durations, default=0.0) if all(durations) else 0.0


def _too_long(path: Path, seconds: float, limits: MediaLimits) -> MediaError:
    return MediaError(
        QuarantineReason.TOO_LONG,
        f"{path.name} lasts {seconds:.0f} s, the limit is {limits.max_seconds:.0f} s",
    )


def _check_not_cut(
    path: Path,
    declared: float,
    real: float,
    slack_seconds: float = _DECLARED_SLACK_SECONDS,
    slack_share: float = _DECLARED_SLACK_SHARE,
) -> None:
    if real > 0 and declared - real > max(slack_seconds, slack_share * declared):
        raise truncated(path.name, f"it declares {declared:.1f} s and holds {real:.1f} s")


def _frame_rate(video: _Tally) -> float | None:
    return video.packets / video.seconds if video.packets > 1 and video.seconds > 0 else None
