"""Kernel and linear members against plain implementations, on clips with several streams and variants."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mer.ensemble.kernel import KernelFamily, KernelMember, squared_distances
from mer.ensemble.linear import LinearFamily, LinearMember
from mer.ensemble.varied import PLAIN, VariedStream
from mer.errors import ConfigError
from mer.examples import Examples

CLASSES, CLIPS = 3, 90
TRAIN, ASKED = np.arange(60), np.arange(60, 90)


def truth() -> np.ndarray:
    return np.arange(CLIPS) % CLASSES


def clips(shown: np.ndarray = TRAIN, weight: np.ndarray | None = None) -> Examples:
    emotion = np.full(CLIPS, -1, dtype=np.int64)
    emotion[shown] = truth()[shown]
    return Examples(
        clip_ids=tuple(f"c{i}" for i in range(CLIPS)),
        emotion=emotion,
        valence=np.full(CLIPS, np.nan, np.float32),
        speaker=tuple(f"s{i // 9}" for i in range(CLIPS)),
        fold=np.full(CLIPS, -1, dtype=np.int64),
        weight=np.ones(CLIPS, np.float32) if weight is None else weight,
    )


def stream(width: int, seed: int, skill: float = 1.0, variants: tuple[str, ...] = (PLAIN,)) -> VariedStream:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(CLASSES, width))[truth()] * skill
    own = {name: (3 + 2 * (signal + rng.normal(size=(CLIPS, width)))).astype(np.float32) for name in variants}
    return VariedStream(own, np.ones(CLIPS, dtype=bool))


def test_distances_are_mean_squared_differences() -> None:
    rng = np.random.default_rng(0)
    train, asked = (rng.normal(size=(count, 7)).astype(np.float32) for count in (11, 4))
    expected = cdist(np.concatenate([train, asked]), train, "sqeuclidean") / 7
    np.testing.assert_allclose(squared_distances(train, asked), expected, atol=1e-5)


def test_a_kernel_member_is_kernel_ridge_regression_on_one_hot_targets() -> None:
    streams = {"a": stream(6, 1), "b": stream(40, 2)}
    member = KernelMember(streams={"a": 0.3, "b": 1.0}, width=0.7, penalty=0.2)
    found = KernelFamily(streams, {"k": member}, CLASSES).predict(clips(), ASKED, ["k"])["k"]
    distance = np.zeros((CLIPS, CLIPS))
    for name, share in member.streams.items():
        values = (
            StandardScaler().fit(streams[name].values[PLAIN][TRAIN]).transform(streams[name].values[PLAIN])
        )
        distance += share * cdist(values, values, "sqeuclidean") / values.shape[1]
    kernel = np.exp(-0.35 * distance)
    target = np.eye(CLASSES)[truth()[TRAIN]]
    model = KernelRidge(alpha=0.2, kernel="precomputed").fit(kernel[:60, :60], target - target.mean(axis=0))
    expected = model.predict(kernel[60:, :60]) + target.mean(axis=0)
    np.testing.assert_allclose(found.logits, 10 * expected, atol=2e-3)
    assert found.clip_ids == clips().clip_ids[60:]


def test_a_linear_member_is_scikit_learns_logistic_regression() -> None:
    streams = {"a": stream(6, 1), "b": stream(4, 2)}
    member = LinearMember(streams={"a": 1.0, "b": 0.5}, inverse_penalty=0.1)
    found = LinearFamily(streams, {"l": member}, CLASSES).predict(clips(), ASKED, ["l"])["l"]
    values = np.hstack(
        [
            factor * StandardScaler().fit(own[TRAIN]).transform(own)
            for factor, own in ((1.0, streams["a"].values[PLAIN]), (0.5, streams["b"].values[PLAIN]))
        ]
    )
    model = LogisticRegression(C=0.1).fit(values[TRAIN], truth()[TRAIN])
    np.testing.assert_allclose(found.probabilities(), model.predict_proba(values[ASKED]), atol=2e-3)


@pytest.mark.parametrize("kind", ["kernel", "linear"])
def test_equal_variants_change_nothing_and_missing_ones_are_the_plain_clip(kind: str) -> None:
    plain = {"a": stream(6, 1), "b": stream(5, 2)}
    same = plain["a"].values[PLAIN]
    varied = {"a": VariedStream({PLAIN: same, "fast": same.copy()}, plain["a"].present), "b": plain["b"]}

    def predicted(streams: dict[str, VariedStream], variants: tuple[str, ...]) -> np.ndarray:
        weights = {"a": 1.0, "b": 1.0}
        if kind == "linear":
            linear = LinearMember(streams=weights, inverse_penalty=0.1, variants=variants)
            return LinearFamily(streams, {"m": linear}, CLASSES).predict(clips(), ASKED, ["m"])["m"].logits
        # every clip twice: the same solution with twice the penalty
        kernel = KernelMember(streams=weights, penalty=0.1 * len(variants), variants=variants)
        return KernelFamily(streams, {"m": kernel}, CLASSES).predict(clips(), ASKED, ["m"])["m"].logits

    np.testing.assert_allclose(predicted(varied, (PLAIN, "fast")), predicted(plain, (PLAIN,)), atol=5e-3)


def test_variants_are_learnt_from_and_averaged_over() -> None:
    varied = {"a": stream(6, 1, skill=0.4, variants=(PLAIN, "fast", "slow"))}

    def accuracy(variants: tuple[str, ...]) -> float:
        family = KernelFamily(varied, {"k": KernelMember(streams={"a": 1.0}, variants=variants)}, CLASSES)
        return float(np.mean(family.predict(clips(), ASKED, ["k"])["k"].predicted == truth()[ASKED]))

    assert accuracy((PLAIN, "fast", "slow")) > accuracy((PLAIN,)) + 0.05


@pytest.mark.parametrize("kind", ["kernel", "linear"])
def test_an_absent_stream_leaves_the_decision_to_the_others(kind: str) -> None:
    whole, noisy = stream(6, 1, skill=2.0), stream(6, 2, skill=0.0)
    present = np.ones(CLIPS, dtype=bool)
    present[ASKED[:10]] = False
    values = noisy.values[PLAIN].copy()
    values[ASKED[:10]] = np.nan  # whatever lies there is not read
    streams = {"a": whole, "b": VariedStream({PLAIN: values}, present)}
    weights = {"a": 1.0, "b": 1.0}
    family: KernelFamily | LinearFamily = (
        KernelFamily(streams, {"m": KernelMember(streams=weights)}, CLASSES)
        if kind == "kernel"
        else LinearFamily(streams, {"m": LinearMember(streams=weights)}, CLASSES)
    )
    found = family.predict(clips(), ASKED, ["m"])["m"]
    assert np.isfinite(found.logits).all()
    assert np.mean(found.predicted[:10] == truth()[ASKED[:10]]) >= 0.9


@pytest.mark.parametrize("kind", ["kernel", "linear"])
def test_a_clip_of_little_weight_counts_little(kind: str) -> None:
    streams = {"a": stream(6, 1, skill=2.0)}
    wrong = clips()
    wrong.emotion[:30] = (truth()[:30] + 1) % CLASSES
    wrong.weight[:30] = 1e-3
    family: KernelFamily | LinearFamily = (
        KernelFamily(streams, {"m": KernelMember(streams={"a": 1.0}, penalty=0.5)}, CLASSES)
        if kind == "kernel"
        else LinearFamily(streams, {"m": LinearMember(streams={"a": 1.0}, inverse_penalty=1.0)}, CLASSES)
    )
    predicted = family.predict(wrong, ASKED, ["m"])["m"].predicted
    assert np.mean(predicted == truth()[ASKED]) > 0.85


@pytest.mark.parametrize("kind", ["kernel", "linear"])
def test_a_class_without_training_clips_is_never_the_answer(kind: str) -> None:
    streams = {"a": stream(6, 1)}
    shown = TRAIN[truth()[TRAIN] < 2]
    family: KernelFamily | LinearFamily = (
        KernelFamily(streams, {"m": KernelMember(streams={"a": 1.0})}, CLASSES)
        if kind == "kernel"
        else LinearFamily(streams, {"m": LinearMember(streams={"a": 1.0})}, CLASSES)
    )
    found = family.predict(clips(shown), ASKED, ["m"])["m"]
    assert found.logits.shape == (30, CLASSES)
    assert set(found.predicted.tolist()) <= {0, 1}


def test_labels_of_asked_clips_and_unknown_streams_are_refused() -> None:
    streams = {"a": stream(6, 1)}
    family = KernelFamily(streams, {"m": KernelMember(streams={"a": 1.0})}, CLASSES)
    with pytest.raises(ConfigError, match="blank"):
        family.predict(clips(np.arange(61)), ASKED, ["m"])
    with pytest.raises(ConfigError, match="found \\['b'\\]"):
        KernelFamily(streams, {"m": KernelMember(streams={"b": 1.0})}, CLASSES)
    with pytest.raises(ConfigError, match="plain"):
        VariedStream({"fast": np.zeros((2, 2), np.float32)}, np.ones(2, dtype=bool))
    with pytest.raises(ConfigError, match="finite"):
        VariedStream({PLAIN: np.full((2, 2), np.nan, np.float32)}, np.ones(2, dtype=bool))


def test_standardisation_uses_training_clips_only() -> None:
    own = stream(4, 3)
    changed = own.values[PLAIN].copy()
    changed[ASKED] = 1e3
    first = own.standardised(TRAIN, ASKED, (PLAIN,))[0]
    second = VariedStream({PLAIN: changed}, own.present).standardised(TRAIN, ASKED, (PLAIN,))[0]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(first.std(axis=0), 1, atol=1e-5)
