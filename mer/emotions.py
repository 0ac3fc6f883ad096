"""Emotion sets of the field, and the published class priors and valence moments of the MER challenges.

The order of `MER_EMOTIONS` is the order of class indices everywhere. Valence is a float in [-5, 5].
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mer.errors import CorpusError

MER_EMOTIONS: tuple[str, ...] = ("neutral", "angry", "happy", "sad", "worried", "surprise")
"""Label order of the MER challenges (class index = position)."""

RAVDESS_EMOTIONS: tuple[str, ...] = (
    "neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised",
)  # fmt: skip
"""The eight classes of RAVDESS in the order of its file-name codes 01..08."""

EMOTION_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"mer": MER_EMOTIONS, "ravdess": RAVDESS_EMOTIONS}
)

MER2023_TRAIN_PRIOR: Mapping[str, float] = MappingProxyType(
    {"neutral": 0.258, "angry": 0.244, "happy": 0.204, "sad": 0.114, "worried": 0.137, "surprise": 0.043}
)
"""Class prior of MER2023 train (published counts)."""

MER2023_SEMI_TEST_PRIOR: Mapping[str, float] = MappingProxyType(
    {"neutral": 0.199, "angry": 0.219, "happy": 0.203, "sad": 0.308, "worried": 0.054, "surprise": 0.017}
)
"""Class prior of the MER2023-SEMI test set: shifted against train."""

MER2023_VALENCE: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "neutral": (-0.08, 0.68),
        "angry": (-2.50, 0.95),
        "happy": (1.77, 0.74),
        "sad": (-2.37, 1.03),
        "worried": (-1.01, 0.80),
        "surprise": (-0.41, 1.29),
    }
)
"""Mean and standard deviation of valence by class in MER2023."""

VALENCE_RANGE: tuple[float, float] = (-5.0, 5.0)

_SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "anger": "angry", "ang": "angry", "happiness": "happy", "hap": "happy", "joy": "happy",
        "sadness": "sad", "neu": "neutral", "worry": "worried", "wor": "worried",
        "surprised": "surprise", "sur": "surprise", "pleasant_surprise": "surprise", "pleasant_surprised": "surprise",
        "fear": "fearful", "disgusted": "disgust",
    }
)  # fmt: skip
_OTHER_EMOTIONS = (
    "afraid", "amused", "amusement", "anxiety", "anxious", "bored", "boredom", "calm", "contempt", "content", "disgust",
    "excited", "excitement", "fearful", "frustrated", "frustration", "guilt", "guilty", "jealousy", "negative", "neutrality",
    "positive", "pride", "proud", "relief", "relaxed", "sarcastic", "scared", "shame", "sleepiness", "sleepy", "stress",
    "stressed", "tender", "tired",
)  # fmt: skip
EMOTION_WORDS: frozenset[str] = frozenset(
    {*MER_EMOTIONS, *RAVDESS_EMOTIONS, *_SYNONYMS, *_OTHER_EMOTIONS} - {"hap", "sur", "wor", "ang", "neu"}
)
"""Words, lower case and with `_` for blanks, that are an emotion wherever they stand: also as the name of a folder."""

_NEAR_SPELLING = 0.75
"""Similarity (difflib's ratio) from which on a label is taken for a misspelt emotion."""


def canonical_emotion(label: str, emotions: Sequence[str]) -> str:
    """Return the member of `emotions` that `label` names (case and common synonyms are folded).

    Without any emotion (an open set) every label is a class: itself in lower case, with `_` for blanks.

    Raises:
        CorpusError: the label is unknown; the message lists what is known.
    """
    folded = label.strip().lower()
    joined = folded_label(label)
    if not emotions:
        return joined
    members = {emotion.lower(): emotion for emotion in reversed(emotions)}
    for candidate in (folded, joined, _SYNONYMS.get(joined, joined)):
        if candidate in members:
            return members[candidate]
    for known in emotions:  # the other way round: `surprise` in a corpus whose set says `surprised`
        if _SYNONYMS.get(known) == joined:
            return known
    raise CorpusError(f"unknown emotion {label!r}: expected one of {', '.join(emotions)}")


def folded_label(label: str) -> str:
    """A label as the name of a class: lower case, with `_` for blanks."""
    return "_".join(label.lower().split())


def nearest_emotion(label: str, emotions: Sequence[str]) -> str | None:
    """The member of `emotions` whose name or synonym is spelt nearly like `label`; None: none is near."""
    spellings = {emotion.lower(): emotion for emotion in emotions}
    for spelling, emotion in _SYNONYMS.items():
        if emotion in emotions:
            spellings.setdefault(spelling, emotion)
    near = difflib.get_close_matches(folded_label(label), spellings, n=1, cutoff=_NEAR_SPELLING)
    return spellings[near[0]] if near else None
