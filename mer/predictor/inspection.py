"""Which of a clip's streams say nothing: a sound in which nobody speaks, pictures on which there is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mer.media.audio import Waveform

NO_SPEECH, BLANK = "no_speech", "blank"
LEAST_SPEECH_SECONDS = 0.15
"""Beginning and end of a steady tone count as .12 s of speech."""
_BLANK_LEVELS = 2.0
"""Standard deviation of the grey levels (0-255) of a picture of one colour, with the noise of its coding."""


class ContentInspector:
    """Flags what was decoded for a prediction: an `Inspector` of `mer.features.clip_media`."""

    def sound(self, waveform: Waveform) -> tuple[str, ...]:
        """`no_speech`: silence, a tone, steady noise; not for music, which rises and falls as speech does."""
        from mer.quality.speech_activity import detect_speech

        return (NO_SPEECH,) if detect_speech(waveform).speech_seconds < LEAST_SPEECH_SECONDS else ()

    def pictures(self, crops: NDArray[np.uint8]) -> tuple[str, ...]:
        """`blank`: no picture shows anything, e.g. all are black."""
        grey = crops.astype(np.float32).mean(axis=-1).reshape(len(crops), -1)
        return (BLANK,) if float(grey.std(axis=1).max(initial=0.0)) < _BLANK_LEVELS else ()
