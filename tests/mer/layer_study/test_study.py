from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from mer.adaptation.block import Block
from mer.errors import ConfigError
from mer.layer_study.config import LayerStudyConfig
from mer.layer_study.scores import choose_block
from mer.layer_study.study import study_layers

STRENGTH = (0.1, 0.4, 1.2, 1.3, 0.7, 0.2, 0.1)
"""How far apart the classes lie in each layer."""
CONFIG = LayerStudyConfig(seeds=2, resamples=500)


def corpus(
    strength: tuple[float, ...] = STRENGTH, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
    """Emotion is told by a shared direction per class; speakers shift every feature, more than emotion
    does.
    """
    rng = np.random.default_rng(seed)
    speakers, each, width = 12, 20, 16
    labels = np.tile(np.arange(4), speakers * each // 4)
    who = np.repeat(np.arange(speakers), each)
    centres, shifts = rng.normal(size=(4, width)), rng.normal(size=(speakers, len(strength), width))
    features = shifts[who] + rng.normal(size=(len(labels), len(strength), width))
    features += np.array(strength)[None, :, None] * centres[labels][:, None]
    return features.astype(np.float32), labels, [f"s{i}" for i in who]


def test_the_curve_and_the_block_follow_what_was_planted() -> None:
    study = study_layers(*corpus(), CONFIG)
    assert study.scores.shape == (7, 10)
    assert study.best_block == Block(1, 3) and study.best_layer in (2, 3)
    assert study.mean[2] > study.mean[1] > study.mean[0] and study.mean[3] > study.mean[4] > study.mean[6]
    assert (study.low < study.mean).all() and (study.mean < study.high).all()
    np.testing.assert_allclose(study.mean, study.scores.mean(axis=1), atol=0.02)  # folds of equal size
    assert json.loads(study.to_json())["best_block"] == [1, 3]
    assert set(np.argsort(-study.weights)[:2]) == {2, 3} and study.weights[[2, 3]].sum() > 0.6
    np.testing.assert_allclose(study.weights.sum(), 1, atol=1e-5)


@pytest.mark.slow
def test_a_planted_block_is_found_in_nearly_every_draw() -> None:
    """12 hidden states, emotion in three neighbours (one of them weaker), 20 draws of everything."""
    found = []
    for seed in range(20):
        start = 1 + seed % 8
        strength = np.full(12, 0.3)
        strength[start + 1 : start + 4] = (0.7, 0.8, 0.6)
        study = study_layers(*corpus(tuple(strength), seed=seed), LayerStudyConfig(seeds=2, resamples=500))
        found.append(study.best_block == Block(start, start + 3))
    assert sum(found) >= 19, found


def test_without_emotion_no_layer_is_above_chance() -> None:
    study = study_layers(*corpus((0.0, 0.0, 0.0)), CONFIG)
    assert (study.low < 0.25).all() and (study.mean < 0.33).all()


def test_speakers_are_held_out_whole() -> None:
    features, labels, speakers = corpus((0.0, 0.0, 0.0))
    numbers = np.array([int(str(name)[1:]) for name in speakers])
    own_emotion = numbers % 4  # a label that only tells who is speaking
    grouped = study_layers(features, own_emotion, speakers, CONFIG)
    by_clip = study_layers(features, own_emotion, [None] * len(labels), CONFIG)
    assert by_clip.mean.min() > 0.75 and grouped.mean.max() < 0.5


def test_equal_contents_are_held_out_together() -> None:
    """Every clip twelve times: who has seen a copy knows the answer, whatever it is."""
    features, _, _ = corpus((0.0, 0.0, 0.0))
    features = np.repeat(features[:20], 12, axis=0)
    labels = np.repeat(np.random.default_rng(3).integers(0, 4, 20), 12)
    contents = [f"x{row // 12}" for row in range(240)]
    nobody: list[str | None] = [None] * 240
    together = study_layers(features, labels, nobody, CONFIG, contents=contents)
    apart = study_layers(features, labels, nobody, CONFIG)
    assert apart.mean.min() > 0.75 and together.mean.max() < 0.5


def test_unlabelled_clips_are_left_out() -> None:
    features, labels, speakers = corpus()
    with_more = study_layers(
        np.concatenate([features, features[:30]]),
        np.concatenate([labels, np.full(30, -1)]),
        [*speakers, *speakers[:30]],
        CONFIG,
    )
    np.testing.assert_array_equal(with_more.scores, study_layers(features, labels, speakers, CONFIG).scores)


@pytest.mark.parametrize(
    ("states", "wanted", "length"),
    [(7, None, 2), (13, None, 3), (25, None, 6), (7, 4, 4), (3, None, 2), (2, 5, 1)],
)
def test_the_length_of_the_block(states: int, wanted: int | None, length: int) -> None:
    samples = np.random.default_rng(0).random((states, 50))
    block, _ = choose_block(samples, 10, LayerStudyConfig(block_length=wanted))
    assert block.length == length and block.stop <= states - 1


def test_a_steady_block_beats_an_unsteady_one_of_equal_mean() -> None:
    noise = np.random.default_rng(0).normal(size=500)
    samples = np.stack(
        [np.zeros(500), *(0.5 + 0.1 * noise for _ in range(2)), *(0.5 + 0.01 * noise for _ in range(2))]
    )
    assert choose_block(samples, 10, LayerStudyConfig())[0] == Block(2, 4)


def test_what_cannot_be_studied_is_refused() -> None:
    features, labels, speakers = corpus()
    with pytest.raises(ConfigError, match="at least 2 classes"):
        study_layers(features, np.zeros_like(labels), speakers, CONFIG)
    with pytest.raises(ConfigError, match="hidden states"):
        study_layers(features[:, :1], labels, speakers, CONFIG)
    with pytest.raises(ConfigError, match="0 <= start < stop"):
        Block(3, 3)
    with pytest.raises(ValidationError, match="layerz"):
        LayerStudyConfig.model_validate({"layerz": 3})
