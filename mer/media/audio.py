"""Speech as the encoders want it: mono float32 at one rate, whatever the file holds."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from mer.errors import MediaError, QuarantineReason
from mer.media.ffmpeg import decode_audio_by_ffmpeg
from mer.media.opening import (
    DEFAULT_LIMITS,
    Deadline,
    MediaLimits,
    bound_decoder,
    check_sample_rate,
    open_media,
    usable_stream,
)
from mer.media.sniff import Container, check_name, check_regular_file, sniff
from mer.media.whole import check_whole, flac_seconds, truncated

Waveform = NDArray[np.float32]

_PLANES_PYAV_CAN_COUNT = 8
"""PyAV 18 counts the planes of an audio frame up to a null pointer that FFmpeg does not promise: from 8 on it reads beyond
the list, and `to_ndarray` crashes the process. A corrupt AAC packet can claim 31 channels. Drop when PyAV counts channels."""

_FLAC_SLACK_SECONDS = 0.05
_FLAC_SLACK_SHARE = 0.02
"""What damaged frames may cost before the file counts as cut."""

SPEECH_RATE = 16_000
"""Sampling rate of the speech encoders, Hz."""

_QUIET_CHANNELS = frozenset({"LFE", "LFE2"})
"""Low-frequency effects hold no speech: left out of the down-mix."""

_CANCELLED = 0.01
"""Channels cancel each other where their mean has less than this share of their mean power: 20 dB below it."""


def decode_audio(
    path: Path,
    *,
    sample_rate: int = SPEECH_RATE,
    max_seconds: float = 60.0,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> Waveform:
    """Decode the first audio stream to mono.

    Mono and stereo FLAC and WAV are read by libsndfile; everything else by FFmpeg through PyAV, packet by packet, so that a
    corrupt packet costs its own few milliseconds only; what PyAV cannot open at all is tried once with the
    ffmpeg program.

    Args:
        path: media file.
        sample_rate: rate of the result, Hz.
        max_seconds: the rest is not decoded.
        limits: what the file may cost.

    Returns:
        float32 (time,), about [-1, 1]; never empty, never NaN.

    Raises:
        MediaError: `no_audio` without an audio stream, `decode_failed` without a sample, or any reason of
        `open_media`.
    """
    check_name(path.name)
    check_regular_file(path, max_bytes=limits.max_bytes)
    kind = sniff(path)
    check_whole(path, kind)
    pieces: list[tuple[int, Waveform]] = []
    if kind in {Container.WAV, Container.FLAC}:
        pieces = _read_by_soundfile(path, max_seconds, limits)
    if not pieces:
        try:
            pieces = _read_by_pyav(path, max_seconds, limits)
        except MediaError as error:
            if error.reason is not QuarantineReason.DECODE_FAILED:
                raise
            pieces = [(sample_rate, decode_audio_by_ffmpeg(path, kind, sample_rate, max_seconds, limits))]
    if kind is Container.FLAC:
        _check_flac(path, pieces, max_seconds)
    resampled = [resample(samples, rate, sample_rate) for rate, samples in pieces]
    waveform = np.concatenate(resampled) if resampled else np.zeros(0, np.float32)
    if waveform.size == 0:
        raise MediaError(QuarantineReason.DECODE_FAILED, f"{path.name}: the audio stream gave no sample")
    return np.nan_to_num(waveform[: round(max_seconds * sample_rate)], copy=False, posinf=0.0, neginf=0.0)


def resample(waveform: Waveform, source_rate: int, target_rate: int) -> Waveform:
    """Resample mono float32 (time,) with FFmpeg's polyphase resampler; the result has time * target / source
    samples.
    """
    if source_rate == target_rate or waveform.size == 0:
        return waveform
    converter = av.AudioResampler(format="flt", layout="mono", rate=target_rate)
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(waveform[None], dtype=np.float32), format="flt", layout="mono"
    )
    frame.sample_rate = source_rate
    frame.time_base = Fraction(1, source_rate)
    pieces = [out.to_ndarray()[0] for block in (frame, None) for out in converter.resample(block)]
    result = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    expected = max(1, round(waveform.size * target_rate / source_rate))
    return np.pad(result, (0, max(0, expected - result.size)))[:expected].astype(np.float32, copy=False)


def downmix(samples: NDArray[np.float32], channel_names: tuple[str, ...] = ()) -> Waveform:
    """Mix (channels, time) to mono (time,): the mean of all channels but the low-frequency ones.

    A mean cannot clip; FFmpeg's own float down-mix adds channels at .707 each and can. Where the channels cancel each other
    (antiphase: a cable with swapped wires), the mean holds nothing of the speech, and the first loud channel stands for it.
    """
    if len(channel_names) == samples.shape[0]:
        heard = [row for row, name in enumerate(channel_names) if name.upper() not in _QUIET_CHANNELS]
        samples = samples[heard] if heard else samples
    mean = np.asarray(samples.mean(axis=0, dtype=np.float32))
    if samples.shape[0] == 1 or samples.size == 0:
        return mean
    power = np.square(samples, dtype=np.float64).mean(axis=1)
    if np.square(mean, dtype=np.float64).mean() >= _CANCELLED * power.mean():
        return mean
    # the first of equally loud ones, or the sign would change from packet to packet
    return np.array(samples[np.flatnonzero(power > power.max() / 2)[0]], dtype=np.float32)


def trim_silence(
    waveform: Waveform, sample_rate: int, *, threshold_db: float = 35.0, keep_seconds: float = 0.05
) -> Waveform:
    """Cut silence at both ends: frames of 20 ms more than `threshold_db` below the loudest frame.

    Args:
        waveform: float32 (time,).
        sample_rate: Hz.
        threshold_db: distance to the loudest frame, decibels, positive.
        keep_seconds: silence left standing at each end.

    Returns:
        a view of the waveform; the waveform itself when it is silent throughout.
    """
    step = max(1, sample_rate // 50)
    count = waveform.size // step
    if count < 2:
        return waveform
    power = np.square(waveform[: count * step].reshape(count, step), dtype=np.float64).mean(axis=1)
    if power.max() < 1e-10:  # below -100 dB: digital silence
        return waveform
    loud = np.flatnonzero(power > power.max() * 10 ** (-threshold_db / 10))
    keep = round(keep_seconds * sample_rate)
    return waveform[max(0, loud[0] * step - keep) : min(waveform.size, (loud[-1] + 1) * step + keep)]


def peak_normalise(waveform: Waveform, *, peak: float = 0.95) -> Waveform:
    """Scale so that the largest absolute sample is `peak`; silence (below 1e-5) is left alone."""
    loudest = float(np.abs(waveform).max(initial=0.0))
    return (
        waveform if loudest < 1e-5 else (waveform * np.float32(peak / loudest)).astype(np.float32, copy=False)
    )


def _check_flac(path: Path, pieces: list[tuple[int, Waveform]], max_seconds: float) -> None:
    """Refuse a FLAC file of which less was decoded than it declares."""
    declared = min(flac_seconds(path) or 0.0, max_seconds)
    real = sum(samples.size / rate for rate, samples in pieces)
    if declared - real > max(_FLAC_SLACK_SECONDS, _FLAC_SLACK_SHARE * declared):
        raise truncated(path.name, f"it declares {declared:.1f} s and holds {real:.1f} s")


def _read_by_soundfile(path: Path, max_seconds: float, limits: MediaLimits) -> list[tuple[int, Waveform]]:
    """Samples by libsndfile; empty where it cannot read them (PyAV then has its turn)."""
    try:
        with soundfile.SoundFile(str(path)) as sound:
            if not 0 < sound.channels <= 2 or sound.samplerate <= 0:  # libsndfile does not say which is which
                return []
            check_sample_rate(sound.samplerate, limits, path.name)
            samples = sound.read(round(max_seconds * sound.samplerate), dtype="float32", always_2d=True)
            rate = sound.samplerate
    except (soundfile.LibsndfileError, OSError, RuntimeError):
        return []
    return [(rate, downmix(samples.T))] if samples.size else []


def _read_by_pyav(path: Path, max_seconds: float, limits: MediaLimits) -> list[tuple[int, Waveform]]:
    """Pieces of (rate, mono samples); a new piece where the rate changes in mid-stream."""
    pieces: list[tuple[int, list[Waveform]]] = []
    seconds = 0.0
    with open_media(path, limits) as (container, _):
        stream = usable_stream(container, "audio")
        if stream is None:
            raise MediaError(QuarantineReason.NO_AUDIO, f"{path.name} has no audio track")
        bound_decoder(stream, limits)
        for frame in _frames(container, stream, Deadline(limits, path.name)):
            if frame.layout.nb_channels > limits.max_channels or not (
                limits.min_sample_rate <= frame.sample_rate <= limits.max_sample_rate
            ):
                continue  # what a corrupt packet claims
            mono = _as_mono(frame)
            if not pieces or pieces[-1][0] != frame.sample_rate:
                pieces.append((frame.sample_rate, []))
            pieces[-1][1].append(mono)
            seconds += mono.size / frame.sample_rate
            if seconds >= max_seconds:
                break
    if not pieces:
        raise MediaError(QuarantineReason.DECODE_FAILED, f"{path.name}: no audio packet could be decoded")
    return [(rate, np.concatenate(chunks)) for rate, chunks in pieces]


def _frames(container: Any, stream: Any, deadline: Deadline) -> Iterator[Any]:
    """Decode packet by packet: `container.decode()` would stop at the first corrupt one."""
    for packet in container.demux(stream):
        deadline.check()
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError):
            continue
        yield from frames


def _packed(frame: Any) -> Any:
    """The same samples in one plane, converted by FFmpeg."""
    converter = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
    (packed,) = converter.resample(frame)
    return packed


def _as_mono(frame: Any) -> Waveform:
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels >= _PLANES_PYAV_CAN_COUNT:
        frame = _packed(frame)
    samples = frame.to_ndarray()  # (channels, time) if planar, else (1, time * channels)
    if samples.shape[0] != channels:
        samples = samples.reshape(-1, channels).T
    if samples.dtype.kind == "u":  # 8-bit PCM is unsigned around 128
        samples = (samples.astype(np.float32) - 128.0) / 128.0
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return downmix(
        samples.astype(np.float32, copy=False), tuple(channel.name for channel in frame.layout.channels)
    )
