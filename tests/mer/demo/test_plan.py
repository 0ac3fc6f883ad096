from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import astuple

import numpy as np
import pytest
from pydantic import ValidationError

from mer.clips import Split
from mer.demo import DemoConfig
from mer.demo.plan import BROKEN_KINDS, ClipPlan, plan_corpus
from mer.demo.transcripts import compose
from mer.emotions import (
    MER2023_SEMI_TEST_PRIOR,
    MER2023_TRAIN_PRIOR,
    MER2023_VALENCE,
    MER_EMOTIONS,
    VALENCE_RANGE,
)

LARGE = DemoConfig(clips=10_000)


@pytest.fixture(scope="module")
def many() -> tuple[ClipPlan, ...]:
    return plan_corpus(LARGE)


def shares(emotions: list[str]) -> dict[str, float]:
    return {emotion: emotions.count(emotion) / len(emotions) for emotion in MER_EMOTIONS}


def test_sizes_of_the_default_corpus() -> None:
    plans = plan_corpus(DemoConfig())
    splits = Counter(plan.split for plan in plans)
    assert splits == {Split.TRAIN: 120, Split.UNLABELLED: 44, Split.TEST: 36}
    assert sorted(plan.broken for plan in plans if plan.broken) == sorted(BROKEN_KINDS)
    assert {plan.split for plan in plans if plan.broken} == {Split.TRAIN}
    assert set(Counter(plan.emotion for plan in plans if plan.split is Split.TRAIN)) == set(MER_EMOTIONS)


def test_test_speakers_occur_nowhere_else() -> None:
    plans = plan_corpus(DemoConfig())
    tested = {plan.speaker for plan in plans if plan.split is Split.TEST}
    others = {plan.speaker for plan in plans if plan.split is not Split.TEST}
    assert tested and others and not tested & others
    assert tested | others == set(range(10))


@pytest.mark.parametrize(
    ("split", "prior"),
    [
        (Split.TRAIN, MER2023_TRAIN_PRIOR),
        (Split.TEST, MER2023_TRAIN_PRIOR),
        (Split.UNLABELLED, MER2023_SEMI_TEST_PRIOR),
    ],
)
def test_class_priors_are_the_published_ones(
    many: tuple[ClipPlan, ...], split: Split, prior: dict[str, float]
) -> None:
    found = shares([plan.emotion for plan in many if plan.split is split])
    assert found == pytest.approx(dict(prior), abs=0.002)


def test_valence_has_the_published_moments(many: tuple[ClipPlan, ...]) -> None:
    plans = many
    for emotion, (mean, deviation) in MER2023_VALENCE.items():
        values = np.array([plan.valence for plan in plans if plan.emotion == emotion])
        assert values.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(values.size) + 0.02)
        assert values.std() == pytest.approx(deviation, rel=0.15)
        assert VALENCE_RANGE[0] <= values.min() and values.max() <= VALENCE_RANGE[1]


def test_modalities_agree_as_often_as_asked_and_independently(many: tuple[ClipPlan, ...]) -> None:
    plans = many
    voice = np.array([plan.voice_shows == plan.emotion for plan in plans])
    text = np.array([plan.text_shows == plan.emotion for plan in plans])
    face = np.array([plan.face_shows == plan.emotion for plan in plans])
    assert [voice.mean(), text.mean(), face.mean()] == pytest.approx(
        [LARGE.audio_agreement, LARGE.text_agreement, LARGE.face_agreement], abs=0.02
    )
    assert np.abs(np.corrcoef([voice, text, face])[np.triu_indices(3, 1)]).max() < 0.05


def test_names_say_nothing_about_labels_or_splits(many: tuple[ClipPlan, ...]) -> None:
    plans = many
    assert [plan.name for plan in plans[:2]] == ["demo_0000", "demo_0001"]
    place = np.arange(len(plans))
    for emotion in MER_EMOTIONS:
        assert abs(np.corrcoef(place, [plan.emotion == emotion for plan in plans])[0, 1]) < 0.04
    assert abs(np.corrcoef(place, [plan.split is Split.TEST for plan in plans])[0, 1]) < 0.04


def test_plans_depend_on_the_seed_alone() -> None:
    assert plan_corpus(DemoConfig()) == plan_corpus(DemoConfig())
    assert plan_corpus(DemoConfig(seed=1)) != plan_corpus(DemoConfig(seed=2))


def test_sentences_are_many_and_complete() -> None:
    generator = np.random.default_rng(0)
    for emotion in (*MER_EMOTIONS, None):
        said = {compose(emotion, generator) for _ in range(300)}
        assert len(said) > 40
        assert not any("{" in sentence for sentence in said)
        assert all(sentence[0].isupper() and sentence[-1] in ".!?" for sentence in said)


@pytest.mark.parametrize("wrong", [{"clips": 3}, {"speakers": 40}, {"test_share": 0.9}, {"seeds": 1}])
def test_impossible_configs_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DemoConfig.model_validate(wrong)


def test_the_plan_of_seed_2023_stays() -> None:
    """Who says what, labels, splits and speakers: figures of the demo corpus are comparable between versions."""
    plans = plan_corpus(DemoConfig(clips=200, seed=2023))
    digest = hashlib.sha256("\n".join(str(astuple(plan)) for plan in plans).encode()).hexdigest()
    assert digest == "a107b05e6f3095a942c55333ae8e5e2febe84d1f9913844f875331c1111af22e"
