"""What counts as missing: precomputed features without a value, and texts without a word.

Who writes feature files puts zeros (or nothing) where a clip has no text, no face, no sound; taken as values, all such clips
would look alike. This holds for what others wrote. A vector that an encoder computed here from media is never judged by its
values.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

EMPTY = "empty_features"
"""Flag of a clip whose precomputed features hold nothing but zeros, or no frame."""


def is_missing(values: NDArray[Any]) -> bool:
    """Whether precomputed features (T, D) say nothing: no frame, no feature, or zeros throughout."""
    return not values.any()


def has_words(text: str) -> bool:
    """Whether anything is said: a letter or a number of any script, or a picture (an emoji speaks); punctuation does not."""
    return any(category[0] in {"L", "N"} or category == "So" for category in map(unicodedata.category, text))


def missing_counts(present: Sequence[bool], flags: Sequence[tuple[str, ...]]) -> str | None:
    """How many clips of a feature set are masked and why, on one line; None: no clip is.

    Args:
        present: (clips,).
        flags: of every clip; the first flag of a masked one is its reason.
    """
    absent = [row for row, there in enumerate(present) if not there]
    if not absent:
        return None
    reasons = Counter((flags[row] or ("no reason given",))[0] for row in absent)
    counts = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    return f"{len(absent)} of {len(present)} clips are missing and masked ({counts})"
