"""Long waveforms in overlapping windows, without padding bias and with bounded memory.

The rule: a waveform of more than one window is cut into windows of equal length that overlap by a sixth. All
of them lie on one grid of frames, and the last one ends with the waveform, so nothing is ever padded. Where
two windows overlap, each gives the frames nearer to its own middle: the outer half of each overlap, which saw
too little context on one side, is dropped. The frames kept are exactly those of the whole waveform, each once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from mer.encoders.hidden_states import SpeechEncoder

OVERLAP_DIVISOR = 6
"""Windows overlap by this part: 5 of 30 seconds, so every frame has 2.5 seconds of context on either side."""


@dataclass(frozen=True)
class Window:
    """A stretch of a waveform and the frames of it that count."""

    samples: slice
    frames: slice
    """Within the window's own frames."""


def windows(encoder: SpeechEncoder, samples: int, window_seconds: float) -> list[Window]:
    """Cut a waveform for an encoder.

    Args:
        encoder: its grid of frames is followed; encoders of a fixed length have no longer windows than that.
        samples: length of the waveform at 16 kHz.
        window_seconds: longest stretch in one pass, seconds.
    """
    longest = min(window_seconds, encoder.longest_seconds)
    size = round(longest * 16_000)
    if samples <= size:
        return [Window(slice(0, samples), slice(None))]
    total, width = encoder.frame_count(samples), encoder.frame_count(size)
    hop = width - width // OVERLAP_DIVISOR
    starts = [*range(0, total - width, hop), total - width]
    bounds = [0, *((previous + following + width) // 2 for previous, following in pairwise(starts)), total]
    return [
        Window(
            slice(start * encoder.stride, (start + width - 1) * encoder.stride + encoder.minimum_samples),
            slice(bounds[number] - start, bounds[number + 1] - start),
        )
        for number, start in enumerate(starts)
    ]
