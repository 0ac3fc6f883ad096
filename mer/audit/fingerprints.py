"""Audio fingerprints: whether two clips hold the same recording, whatever became of its loudness, codec and beginning.

Source: Haitsma and Kalker 2002, "A highly robust audio fingerprinting system" (known; here 33 bands from 300 to 2,000 Hz and a
step of 16 ms; two clips are the same where fewer than a quarter of the bits differ over at least a second). Bits are signs of how
energy changes from band to band and frame to frame; clips of other words, or of the same words said again, differ in about half.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
STEP = 256
_WINDOW = 4096
_BANDS = 33
_RANGE_HZ = (300.0, 2000.0)
LEAST_FRAMES = 1 * RATE // STEP
"""Frames that must agree: a second."""
MOST_ERRORS = 0.25
"""Share of bits that may differ."""
_COMMON = 40
"""Frames that more clips than this have say nothing (silence, tones)."""
_LEAST_HITS = 3
_SILENT = 1e-4
"""Mean power of a window, relative to the clip's loudest, below which it says nothing."""

Prints = NDArray[np.uint32]


def fingerprint(waveform: NDArray[np.floating]) -> Prints:
    """(T,) words of 32 bits, one every 16 ms, of mono sound at 16 kHz; 0 where it is silent."""
    if len(waveform) < _WINDOW + STEP:
        return np.zeros(0, dtype=np.uint32)
    frames = np.lib.stride_tricks.sliding_window_view(waveform.astype(np.float32), _WINDOW)[::STEP]
    window = np.hanning(_WINDOW).astype(np.float32)
    edges = np.geomspace(*_RANGE_HZ, _BANDS + 1)
    bins = np.searchsorted(np.fft.rfftfreq(_WINDOW, 1 / RATE), edges)
    energies = np.empty((len(frames), _BANDS))
    for begin in range(0, len(frames), 256):  # bounded memory for long clips
        spectrum = np.abs(np.fft.rfft(frames[begin : begin + 256] * window, axis=1)) ** 2
        energies[begin : begin + 256] = np.add.reduceat(spectrum, bins[:-1], axis=1)[:, :_BANDS]
    change = np.diff(np.log(energies + 1e-12), axis=1)
    bits = np.diff(change, axis=0) > 0
    words = np.packbits(bits, axis=1).view(">u4").ravel().astype(np.uint32)
    power = energies[1:].sum(axis=1)
    words[power < _SILENT * power.max()] = 0
    return words


def near_equal(prints: Sequence[Prints]) -> NDArray[np.int64]:
    """(P, 2) rows of clips that hold the same recording, the smaller row first.

    Pairs that share words at one offset are compared bit by bit; all others are not looked at.
    """
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, words in enumerate(prints):
        for time, word in enumerate(words.tolist()):
            if word:
                places[word].append((row, time))
    hits: Counter[tuple[int, int, int]] = Counter()
    for found in places.values():
        if not 1 < len(found) <= _COMMON:
            continue
        for number, (row, time) in enumerate(found):
            for other, at in found[number + 1 :]:
                if row != other:
                    first, second = ((row, time), (other, at)) if row < other else ((other, at), (row, time))
                    hits[first[0], second[0], second[1] - first[1]] += 1
    pairs = {
        (first, second)
        for (first, second, offset), count in hits.items()
        if count >= _LEAST_HITS and same_recording(prints[first], prints[second], offset)
    }
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def same_recording(first: Prints, second: Prints, offset: int) -> bool:
    """Whether fewer than a quarter of the bits differ where `second` is moved by `offset` frames against `first`.

    Frames that are silent in either say nothing; a second of others must be left.
    """
    begin, end = max(0, -offset), min(len(first), len(second) - offset)
    if end - begin < LEAST_FRAMES:
        return False
    one, other = first[begin:end], second[begin + offset : end + offset]
    spoken = (one != 0) & (other != 0)
    if spoken.sum() < LEAST_FRAMES:
        return False
    differing = np.bitwise_count(one[spoken] ^ other[spoken])
    return float(differing.mean()) / 32 < MOST_ERRORS
