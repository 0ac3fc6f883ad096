"""`sound:`, loudness and length of a clip's sound: both are lost to speech encoders, whose input is scaled to one peak, and whose
pooling forgets how many frames there were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mer.features.clip_feature import TOO_SHORT, ClipFeature, masked
from mer.features.clip_media import ClipMedia
from mer.features.spec import FeatureSpec
from mer.media.audio import SPEECH_RATE

if TYPE_CHECKING:
    from mer.media.audio import Waveform

WIDTH = 2
QUIETEST = 1e-5
"""Root mean square that digital silence counts as, -100 dB: what is quieter says nothing more."""


def loudness_and_length(waveform: Waveform, speed: float = 1.0) -> NDArray[np.float32]:
    """(2,) natural logarithms of the root mean square, full scale 1, and of the seconds of a sound.

    Args:
        waveform: float32 (time,) at 16 kHz, at least one sample; silence at its ends is cut already.
        speed: the sound is played this many times as fast: as loud, and so much shorter.
    """
    level = float(np.sqrt(np.square(waveform, dtype=np.float64).mean()))
    seconds = waveform.size / SPEECH_RATE / speed
    return np.asarray(np.log([max(level, QUIETEST), seconds]), dtype=np.float32)


class SoundReader:
    """`sound:` as a `Reader`: (1, 2), of the sound as `audio` prepares it, but for the scaling to one peak.

    A clip without sound, or with less than `audio.min_seconds` of it, lacks the stream.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.specs: tuple[FeatureSpec, ...] = (spec,)
        # of the sound as it was recorded: resampled, a clip would be as loud, and shorter by what is subtracted
        self._recorded = spec.audio.model_copy(update={"peak_normalise": False, "speed": 1.0})

    def prepare(self, media: ClipMedia) -> ClipFeature:
        """Decode and measure; raises MediaError where there is no usable sound."""
        audio = self.specs[0].audio
        sound = media.sound(self._recorded)
        if sound.waveform.size < max(1.0, audio.min_seconds * SPEECH_RATE * audio.speed):
            return self.absent(*sound.flags, TOO_SHORT)[0]
        return ClipFeature(
            loudness_and_length(sound.waveform, audio.speed)[None], present=True, flags=sound.flags
        )

    def finish(self, prepared: Sequence[ClipFeature]) -> list[tuple[ClipFeature, ...]]:
        """The features as they are."""
        return [(feature,) for feature in prepared]

    def absent(self, *flags: str) -> tuple[ClipFeature, ...]:
        """Zeros."""
        return (masked(np.zeros((1, WIDTH), dtype=np.float32), flags),)
