"""Who says what in which clip, and which emotion each modality shows: the demo corpus before anything is
rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mer.clips import Split
from mer.demo.config import DemoConfig
from mer.demo.transcripts import compose
from mer.emotions import (
    MER2023_SEMI_TEST_PRIOR,
    MER2023_TRAIN_PRIOR,
    MER2023_VALENCE,
    MER_EMOTIONS,
    VALENCE_RANGE,
)

BROKEN_KINDS: tuple[str, ...] = ("empty", "text", "truncated", "silent_film")
"""0 bytes; text renamed .mp4; an mp4 cut in the middle; an mp4 without an audio track."""

_NEIGHBOURS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neutral": ("sad", "happy", "worried"),
        "angry": ("surprise", "happy", "worried"),
        "happy": ("surprise", "neutral", "angry"),
        "sad": ("neutral", "worried"),
        "worried": ("sad", "surprise", "neutral"),
        "surprise": ("happy", "worried", "angry"),
    }
)
"""Emotion -> the three it is mistaken for."""

_UNTELLING_TEXT = 0.6
"""Of the texts that do not show the emotion, the share that shows none; the rest shows a neighbour."""


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """One clip to be rendered."""

    name: str
    number: int
    """Position in the corpus; with the config's seed it seeds everything random in the clip."""
    emotion: str
    valence: float
    speaker: int
    split: Split
    strength: float
    """How strongly the emotion is shown, about 0.6 to 1.4."""
    voice_shows: str
    face_shows: str
    text_shows: str | None
    transcript: str
    broken: str | None = None


def plan_corpus(config: DemoConfig) -> tuple[ClipPlan, ...]:
    """Plan all clips, in a shuffled order: names say nothing about labels.

    Train and test have the class prior of MER2023's training set, unlabelled clips the shifted one of
    MER2023-SEMI's test set. Test speakers occur nowhere else.
    """
    generator = np.random.default_rng([config.seed, 1])
    test_count = round(config.clips * config.test_share)
    unlabelled_count = round(config.clips * config.unlabelled_share)
    speakers = generator.permutation(config.speakers)
    test_speakers = max(1, round(config.speakers * config.test_share)) if test_count else 0
    groups = (
        (Split.TEST, test_count, MER2023_TRAIN_PRIOR, speakers[:test_speakers]),
        (Split.UNLABELLED, unlabelled_count, MER2023_SEMI_TEST_PRIOR, speakers[test_speakers:]),
        (
            Split.TRAIN,
            config.clips - test_count - unlabelled_count,
            MER2023_TRAIN_PRIOR,
            speakers[test_speakers:],
        ),
    )
    cast: list[tuple[Split, str, int]] = []
    for split, count, prior, who in groups:
        emotions = generator.permutation(_by_prior(prior, count))
        cast += [
            (split, str(emotion), int(who[position % len(who)])) for position, emotion in enumerate(emotions)
        ]
    order = generator.permutation(len(cast))
    broken = dict(zip(_broken_positions(cast, order, config.broken), BROKEN_KINDS, strict=False))
    return tuple(
        _plan_clip(config, number, cast[position], broken.get(number))
        for number, position in enumerate(order)
    )


def _plan_clip(config: DemoConfig, number: int, cast: tuple[Split, str, int], broken: str | None) -> ClipPlan:
    split, emotion, speaker = cast
    generator = np.random.default_rng([config.seed, 2, number])
    strength = float(np.clip(generator.normal(1.0, 0.17), 0.6, 1.4))
    text_shows: str | None = _shown(emotion, config.text_agreement, generator)
    if text_shows != emotion and generator.random() < _UNTELLING_TEXT:
        text_shows = None
    return ClipPlan(
        name=f"demo_{number:04d}",
        number=number,
        emotion=emotion,
        valence=_valence(emotion, strength, generator),
        speaker=speaker,
        split=split,
        strength=strength,
        voice_shows=_shown(emotion, config.audio_agreement, generator),
        face_shows=_shown(emotion, config.face_agreement, generator),
        text_shows=text_shows,
        transcript=compose(text_shows, generator),
        broken=broken,
    )


def _shown(emotion: str, agreement: float, generator: np.random.Generator) -> str:
    neighbours = _NEIGHBOURS[emotion]
    mistaken = neighbours[generator.integers(len(neighbours))]
    return emotion if generator.random() < agreement else mistaken


def _valence(emotion: str, strength: float, generator: np.random.Generator) -> float:
    """Drawn with MER2023's moments for the class; a strongly shown emotion lies farther out."""
    mean, deviation = MER2023_VALENCE[emotion]
    shown = np.sign(mean) * (strength - 1.0) / 0.17
    return float(
        np.clip(round(mean + deviation * (0.6 * shown + 0.8 * generator.normal()), 2), *VALENCE_RANGE)
    )


def _by_prior(prior: Mapping[str, float], count: int) -> list[str]:
    """`count` labels in the proportions of the prior (largest remainder)."""
    exact = np.array([prior[emotion] for emotion in MER_EMOTIONS]) * count / sum(prior.values())
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[: count - whole.sum()]] += 1
    return [emotion for emotion, times in zip(MER_EMOTIONS, whole, strict=True) for _ in range(times)]


def _broken_positions(cast: list[tuple[Split, str, int]], order: np.ndarray, count: int) -> list[int]:
    """Broken files are training clips of the commonest class, so that no rare class is lost to them."""
    usual = [
        number
        for number, position in enumerate(order)
        if cast[position][:2] == (Split.TRAIN, MER_EMOTIONS[0])
    ]
    others = [number for number in range(len(order)) if number not in usual]
    return (usual + others)[:count]
