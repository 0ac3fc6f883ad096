"""The search of an ensemble: bagged weights, inner folds, and labels that must not be seen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest

from mer.ensemble.bagged import BaggedSelection, bagged_weights
from mer.ensemble.combine import weighted
from mer.ensemble.family import rows_to_learn
from mer.ensemble.kernel import KernelFamily, KernelMember
from mer.ensemble.linear import LinearFamily, LinearMember
from mer.ensemble.search import predict_searched, search_ensemble, seen_by
from mer.ensemble.varied import PLAIN, VariedStream
from mer.errors import ConfigError
from mer.evaluation.calibration import negative_log_likelihood
from mer.examples import Examples
from mer.posteriors import Posteriors

CLASSES, SPEAKERS, EACH = 4, 12, 20
CLIPS = SPEAKERS * EACH


def corpus(seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    return Examples(
        clip_ids=tuple(f"c{i}" for i in range(CLIPS)),
        emotion=rng.integers(0, CLASSES, size=CLIPS),
        valence=np.full(CLIPS, np.nan, np.float32),
        speaker=tuple(f"s{i // EACH}" for i in range(CLIPS)),
        fold=(np.arange(CLIPS) // EACH % 3).astype(np.int64),
        weight=np.ones(CLIPS, np.float32),
    )


def streams(examples: Examples) -> dict[str, VariedStream]:
    """Two streams that each know half of the classes well, and one that knows none."""
    rng = np.random.default_rng(1)
    present = np.ones(CLIPS, dtype=bool)
    found = {}
    for name, known in (("voice", (0, 1)), ("face", (2, 3)), ("noise", ())):
        signal = rng.normal(size=(CLASSES, 5)) * np.isin(np.arange(CLASSES), known)[:, None] * 2.5
        values = signal[examples.emotion] + rng.normal(size=(CLIPS, 5))
        found[name] = VariedStream({PLAIN: values.astype(np.float32)}, present)
    return found


def candidates(own: dict[str, VariedStream]) -> list[KernelFamily | LinearFamily]:
    kernels = {name: KernelMember(streams={name: 1.0}, penalty=0.3) for name in own}
    return [
        KernelFamily(own, kernels, CLASSES),
        LinearFamily(own, {"linear": LinearMember(streams={"voice": 1.0, "face": 1.0})}, CLASSES),
    ]


def posteriors(truth: np.ndarray, skill: float, seed: int) -> Posteriors:
    rng = np.random.default_rng(seed)
    logits = skill * np.eye(CLASSES)[truth] + rng.normal(size=(len(truth), CLASSES))
    ids = tuple(f"c{i}" for i in range(len(truth)))
    return Posteriors(ids, logits.astype(np.float32), np.full(len(truth), np.nan, np.float32))


def test_bagged_weights_share_out_to_those_that_help_and_spare_those_that_do_not() -> None:
    own = corpus()
    members = [posteriors(own.emotion, skill, seed) for seed, skill in enumerate((2.0, 2.0, 0.0))]
    weights = bagged_weights(members, own.emotion, own.speaker, BaggedSelection(share=1.0))
    assert weights.sum() == pytest.approx(1)
    assert weights[2] < 0.05
    assert min(weights[:2]) > 0.2
    mixed = negative_log_likelihood(weighted(members, weights).logits, own.emotion)
    assert mixed < min(negative_log_likelihood(one.logits, own.emotion) for one in members)


def test_bags_overfit_less_than_one_greedy_run() -> None:
    """Many equally good noisy members, few clips: one selection is taken in by luck, the bags spread their weights."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, CLASSES, size=120)
    speakers = tuple(f"s{i // 15}" for i in range(120))
    members = [posteriors(truth, 1.0, 100 + seed) for seed in range(30)]
    fresh = [posteriors(truth, 1.0, 900 + seed) for seed in range(30)]  # the same skills on other clips
    greedy = BaggedSelection(bags=1, share=1.0, start=1, rounds=6)
    scores = {
        name: negative_log_likelihood(
            weighted(fresh, bagged_weights(members, truth, speakers, config)).logits, truth
        )
        for name, config in (("bagged", BaggedSelection(rounds=6)), ("greedy", greedy))
    }
    assert scores["bagged"] < scores["greedy"]


def test_bagged_weights_are_reproducible_and_ignore_unlabelled_clips() -> None:
    own = corpus()
    members = [posteriors(own.emotion, 1.0, seed) for seed in range(4)]
    config = BaggedSelection(bags=10, seed=3)
    hidden = np.where(np.arange(CLIPS) < 60, -1, own.emotion)
    first = bagged_weights(members, hidden, own.speaker, config)
    other = [replace(one, logits=np.where(hidden[:, None] < 0, 50, one.logits)) for one in members]
    np.testing.assert_array_equal(first, bagged_weights(other, hidden, own.speaker, config))
    with pytest.raises(ConfigError, match="0 labels"):
        bagged_weights(members, np.full(CLIPS, -1), own.speaker, config)


def test_the_search_combines_streams_that_complement_each_other() -> None:
    own = corpus()
    families = candidates(streams(own))
    learn, asked = own.fold != 0, own.fold == 0
    found = search_ensemble(families, own, learn, folds=4)
    assert found.models == 4 * 4
    assert found.inner_accuracy["noise"] < 0.4
    weights = dict(zip(found.ensemble.members, found.ensemble.weights, strict=True))
    assert weights.get("noise", 0.0) < 0.1
    again = predict_searched(families, own, learn, asked, found.retrained)
    rows = np.flatnonzero(asked)
    mixed = found.ensemble.combine(again)
    assert mixed.clip_ids == tuple(own.clip_ids[i] for i in rows)
    right = np.mean(mixed.predicted == own.emotion[rows])
    alone = predict_searched(families, own, learn, asked, ("voice", "face"))
    assert right > max(np.mean(one.predicted == own.emotion[rows]) for one in alone.values()) + 0.1


def test_neither_choice_nor_prediction_can_see_labels_outside_of_the_clips_to_learn_from() -> None:
    own = corpus()
    own_streams = streams(own)  # as measured: they do not follow the labels that are changed below
    learn, asked = own.fold != 0, own.fold == 0
    lied = replace(own, emotion=np.where(learn, own.emotion, (own.emotion + 1) % CLASSES))
    results = []
    for examples in (own, lied):
        families = candidates(own_streams)
        found = search_ensemble(families, examples, learn, folds=3)
        results.append((found, predict_searched(families, examples, learn, asked, found.retrained)))
    (first, one), (second, two) = results
    assert first == second
    for name in one:
        np.testing.assert_array_equal(one[name].logits, two[name].logits)


class Spy:
    """A candidate that notes whose labels it is shown."""

    names = ("spy",)

    def __init__(self) -> None:
        self.shown: list[tuple[set[str | None], set[str | None]]] = []

    def predict(
        self, examples: Examples, target_rows: np.ndarray, candidates: Collection[str]
    ) -> dict[str, Posteriors]:
        train = rows_to_learn(examples, target_rows)
        self.shown.append(
            ({examples.speaker[i] for i in train}, {examples.speaker[i] for i in target_rows.tolist()})
        )
        assert (examples.emotion >= 0).sum() == len(train)
        ids = tuple(examples.clip_ids[i] for i in target_rows)
        logits = np.random.default_rng(0).normal(size=(len(target_rows), CLASSES)).astype(np.float32)
        return {"spy": Posteriors(ids, logits, np.full(len(target_rows), np.nan, np.float32))}


def test_inner_folds_hold_out_whole_speakers_and_cover_the_clips_to_learn_from() -> None:
    own, spy = corpus(), Spy()
    learn = own.fold != 0
    steps: list[tuple[int, int]] = []
    search_ensemble([spy], own, learn, folds=4, progress=lambda done, parts: steps.append((done, parts)))
    tested = {own.speaker[i] for i in np.flatnonzero(~learn)}
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for learnt, asked in spy.shown:
        assert not learnt & asked
        assert not (learnt | asked) & tested
    assert set.union(*(asked for _, asked in spy.shown)) == {own.speaker[i] for i in np.flatnonzero(learn)}


def test_clips_cannot_be_learnt_from_and_asked_about_and_names_are_distinct() -> None:
    own = corpus()
    families = candidates(streams(own))
    everything = np.ones(CLIPS, dtype=bool)
    with pytest.raises(ConfigError, match="in both"):
        predict_searched(families, own, everything, own.fold == 0, ("voice",))
    with pytest.raises(ConfigError, match="distinct"):
        search_ensemble([*families, families[0]], own, everything)
    blanked = seen_by(own, own.fold != 0)
    assert (blanked.emotion[own.fold == 0] == -1).all()
    assert (blanked.emotion[own.fold != 0] == own.emotion[own.fold != 0]).all()
