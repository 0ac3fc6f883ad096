"""Where in a clip somebody speaks, and how far the speech stands out of the noise.

The detector is the likelihood-ratio test of J. Sohn, N. S. Kim, W. Sung, "A statistical model-based voice activity
detection", IEEE Signal Processing Letters 6(1), 1999 (eq. 4-6), with two reconstructions of ours: the noise spectrum is
a low percentile over the clip (clips are short, and begin with speech as often as not), and a smoothed threshold with
hang-over stands for their hidden Markov model. What it hears as speech is whatever rises above a steady background: a
slammed door counts, a humming fan does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.media.audio import SPEECH_RATE, Waveform, resample

HOP_SECONDS = 0.01
_WINDOW = 512
_HOP = 160
_BAND_HERTZ = (100.0, 6000.0)
_NOISE_PERCENTILE = 15.0
_SMOOTHED_FRAMES = 9
_THRESHOLD = 0.25
"""Mean log likelihood ratio over the band; steady noise alone stayed below .15 in 40 clips of 1-8 s."""
_QUANTILE = 0.535
"""What the percentile of the smoothed periodogram of steady noise is taken to be, in units of its mean. It is .60 for
white noise (overlapping windows leave about a third of the frames independent); this overestimates the noise by half a
decibel, which makes up for quiet ends of words that are not found.
"""
_HANGOVER_FRAMES = 8
_LEAST_FRAMES = 6
_RANGE_DB = 45.0
"""What is this far below the loudest speech is none: digital silence has no noise floor to rise above."""
_SILENCE_POWER = 1e-10
"""Mean square of a frame below which nothing is heard: -100 dB."""


@dataclass(frozen=True)
class SpeechActivity:
    """Speech and noise of one waveform."""

    active: NDArray[np.bool_]
    """(frames,) one per 10 ms: somebody speaks."""
    speech_seconds: float
    snr_db: float | None
    """Power of the speech over that of the noise, decibels, within [-10, 60]; None without speech.

    Method: noise power is the sum of the noise spectrum (a low percentile of the smoothed periodogram in each band,
    corrected for its bias); speech power is the mean power of the active frames less that.
    """


def detect_speech(waveform: Waveform, sample_rate: int = SPEECH_RATE) -> SpeechActivity:
    """Find speech in mono float32 (time,) of any length and rate (Hz)."""
    waveform = resample(waveform, sample_rate, SPEECH_RATE)
    power = _periodogram(waveform)  # (frames, bands)
    loudness = power.sum(axis=1)
    if len(power) < _LEAST_FRAMES or loudness.max() < _SILENCE_POWER:
        return SpeechActivity(np.zeros(len(power), dtype=bool), 0.0, None)
    noise = _noise_spectrum(
        power, floor=np.percentile(loudness, 95) * 10 ** (-_RANGE_DB / 10) / power.shape[1]
    )
    ratio = _moving_mean(_log_likelihood_ratio(power / noise), _SMOOTHED_FRAMES)
    audible = _moving_mean(loudness, 3) > np.percentile(loudness, 95) * 10 ** (-_RANGE_DB / 10)
    active = _tidied((ratio > _THRESHOLD) & audible)
    return SpeechActivity(active, float(active.sum() * HOP_SECONDS), _snr_db(loudness, noise.sum(), active))


def _periodogram(waveform: Waveform) -> NDArray[np.float64]:
    """Power in the speech band, (frames, bands): frame n is centred on 10 n ms; a full-scale square sums to about 1."""
    padded = np.pad(waveform.astype(np.float64), _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    window = np.hanning(_WINDOW + 1)[:-1]
    spectrum = np.fft.rfft(frames * window, axis=1)
    hertz = np.fft.rfftfreq(_WINDOW, 1 / SPEECH_RATE)
    band = (hertz >= _BAND_HERTZ[0]) & (hertz <= _BAND_HERTZ[1])
    return np.asarray(2 * np.abs(spectrum[:, band]) ** 2 / (_WINDOW * np.square(window).sum()))


def _noise_spectrum(power: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """Noise power per band: a percentile over time of the smoothed periodogram, over its value for unit noise."""
    smoothed = _moving_mean(power, _SMOOTHED_FRAMES)
    return np.maximum(np.percentile(smoothed, _NOISE_PERCENTILE, axis=0) / _QUANTILE, max(floor, 1e-20))


def _log_likelihood_ratio(posterior: NDArray[np.float64], smoothing: float = 0.98) -> NDArray[np.float64]:
    """Mean over bands of log p(frame | speech) / p(frame | noise), with the decision-directed a-priori ratio of
    Ephraim and Malah.

    Args:
        posterior: power over noise power, (frames, bands).
        smoothing: weight of the frame before.
    """
    gammas = np.minimum(posterior, 1e6)
    innovations = (1 - smoothing) * np.maximum(gammas - 1, 0)
    priors, gains = np.empty_like(gammas), np.empty_like(gammas)
    clean = np.zeros(posterior.shape[1])
    # only what a frame takes from the one before is computed frame by frame: a prediction waits for this loop
    for gamma, innovation, prior, gain in zip(gammas, innovations, priors, gains, strict=True):
        np.multiply(clean, smoothing, out=prior)
        prior += innovation
        np.maximum(prior, 1e-3, out=prior)
        np.divide(prior, 1 + prior, out=gain)
        # Wiener's estimate of this frame's clean power over the noise, for the next frame's prior
        np.square(gain, out=clean)
        clean *= gamma
    return np.asarray((np.minimum(gammas * gains, 30.0) - np.log1p(priors)).mean(axis=1))


def _tidied(active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Runs shorter than 60 ms dropped, pauses of up to 160 ms (the closures of stops) filled."""
    tidied = np.zeros_like(active)
    for begin, end in _runs(active):
        if end - begin >= _LEAST_FRAMES:
            tidied[begin:end] = True
    for begin, end in _runs(~tidied):
        if end - begin <= 2 * _HANGOVER_FRAMES and begin > 0 and end < len(tidied):
            tidied[begin:end] = True
    return tidied


def _runs(marks: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def _snr_db(loudness: NDArray[np.float64], noise: float, active: NDArray[np.bool_]) -> float | None:
    if not active.any():
        return None
    speech = max(float(loudness[active].mean()) - noise, 1e-30)
    return float(np.clip(10 * np.log10(speech / max(noise, 1e-30)), -10.0, 60.0))


def _moving_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred mean over `width` (odd) frames along axis 0, the ends repeated."""
    edge = ((width // 2, width // 2), *((0, 0) for _ in values.shape[1:]))
    sums = np.cumsum(np.pad(values, edge, mode="edge"), axis=0)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    return np.asarray((sums[width:] - sums[:-width]) / width)
