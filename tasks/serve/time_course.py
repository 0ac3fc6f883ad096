"""Where in time the answer for a clip comes from, as the page shows it: how many stretches a clip has, and what is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mer.clips import Clip
from mer.errors import MediaError
from mer.media.contained import shared_media
from tasks.serve.served_model import ServedModel

if TYPE_CHECKING:
    from mer.predictor.over_time import OverTime

MOST_PARTS, LEAST_SECONDS = 8, 0.5
_LONGEST_SECONDS = 20.0
"""Of a clip that is read once more for each of its stretches: 8 readings of 20 s are half a minute of a processor's time."""


def time_course(model: ServedModel, clip: Clip) -> OverTime | None:
    """What is known over time; of clips up to 20 s what is lost without each of up to eight stretches. None: no file to read."""
    try:
        seconds = shared_media().probe(clip.path).duration_seconds
    except MediaError:
        return None
    count = min(MOST_PARTS, int(seconds / LEAST_SECONDS)) if seconds <= _LONGEST_SECONDS else 0
    parts = [(part / count, (part + 1) / count) for part in range(count)] if count > 1 else []
    return model.predictor.over_time(clip, parts)
