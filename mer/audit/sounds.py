"""What is kept of a clip's sound: its fingerprint, and figures from which a cheap baseline learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.audit.fingerprints import RATE, Prints, fingerprint

SECONDS = 30.0
"""Most of a clip that is listened to."""
_BANDS = 40
_WINDOW, _STEP = 400, 320


@dataclass(frozen=True)
class HeardClip:
    """A clip as the audit hears it."""

    prints: Prints
    """(T,)"""
    figures: NDArray[np.float64]
    """(2 * 40 + 1,) mean and spread of log energies in 40 bands, and the length in seconds."""


def heard(waveform: NDArray[np.floating]) -> HeardClip:
    """Of mono sound at 16 kHz."""
    sound = np.pad(waveform.astype(np.float32), (0, max(0, _WINDOW - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW)[::_STEP]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32), axis=1)) ** 2
    edges = np.unique(np.geomspace(2, spectrum.shape[1], _BANDS + 1).astype(np.int64))
    banded = np.log(np.add.reduceat(spectrum, edges[:-1], axis=1) + 1e-8)
    figures = np.zeros(2 * _BANDS + 1)
    width = banded.shape[1]
    figures[:width], figures[_BANDS : _BANDS + width] = banded.mean(axis=0), banded.std(axis=0)
    figures[-1] = len(waveform) / RATE
    return HeardClip(fingerprint(waveform), figures)
