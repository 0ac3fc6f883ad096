"""What counts as missing: precomputed features without a value, and texts without a word.

Who writes feature files puts zeros (or nothing) where a clip has no text, no face, no sound; taken as values, all such clips
would look alike. This holds for what others wrote. A vector that an encoder computed here from media is never judged by its
values.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.clips import CorpusEntry
from mer.corpora.feature_files import precomputed_id
from mer.corpora.mmsa_pickle import PICKLE_SUFFIX, read_mmsa
from mer.errors import MediaError
from mer.features.feature_file import read_features

EMPTY = "empty_features"
"""Flag of a clip whose precomputed features hold nothing but zeros, or no frame."""


def is_missing(values: NDArray[Any]) -> bool:
    """Whether precomputed features (T, D) say nothing: no frame, no feature, or zeros throughout."""
    return not values.any()


def has_words(text: str) -> bool:
    """Whether anything is said: a letter or a number of any script, or a picture (an emoji speaks); punctuation does not."""
    return any(category[0] in {"L", "N"} or category == "So" for category in map(unicodedata.category, text))


def content_of_features(entry: CorpusEntry) -> str:
    """What a clip without media is by content: `precomputed_id`, or of its name alone where its files say nothing.

    Clips that consist of missing features have nothing in common but that: they are equal to no other clip.

    Raises:
        MediaError, CorpusError: as `precomputed_id`.
    """
    content = precomputed_id(entry)  # first: its errors are those of files that cannot be read
    if any(not _says_nothing(path, entry.name) for path in entry.precomputed):
        return content
    return hashlib.sha256(f"no features of {entry.name}".encode()).hexdigest()


def missing_line(stream: str, present: NDArray[np.bool_], flags: Sequence[tuple[str, ...]]) -> str | None:
    """How many clips of a feature set are masked and why, in one line; None: no clip is.

    Args:
        stream: what the set is called.
        present: (clips,).
        flags: of every clip; the first flag of a masked one is its reason.
    """
    absent = np.flatnonzero(~present).tolist()
    if not absent:
        return None
    reasons = Counter((flags[row] or ("no reason told",))[0] for row in absent)
    counts = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    return f"{stream} features: {len(absent)} of {len(present)} clips are missing and masked ({counts})"


def _says_nothing(path: Path, name: str) -> bool:
    if path.suffix == PICKLE_SUFFIX:
        held = [one[name] for one in read_mmsa(path).arrays.values() if name in one]
        return all(is_missing(np.nan_to_num(one, nan=0.0, neginf=0.0)) for one in held)
    try:
        return is_missing(read_features(path))
    except MediaError:  # a damaged file is not an empty one: its bytes say what it is
        return False
