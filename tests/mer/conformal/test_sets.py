"""Prediction sets hold what they promise, and are those of the field's library."""

from __future__ import annotations

import numpy as np
import pytest

from mer.conformal.measured import measured_answers
from mer.conformal.quantiles import speaker_weights, thresholds
from mer.conformal.record import ConformalRecord, conformal_record
from mer.conformal.scores import RAPS_PENALTY, SCORES, aps, lac, raps
from mer.errors import ConfigError, WeightsError

CLASSES = 4


def world(
    speakers: int, clips: int, seed: int, spread: float = 0.7
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Probabilities, true classes and speakers; speakers differ in how hard they are to tell."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, CLASSES, speakers * clips)
    hardness = np.repeat(generator.normal(0, spread, speakers), clips)
    logits = generator.normal(0, 1, (len(truth), CLASSES))
    logits[np.arange(len(truth)), truth] += 1.5 + hardness
    shares = np.exp(logits)
    return (
        shares / shares.sum(axis=1, keepdims=True),
        truth,
        [f"s{row // clips}" for row in range(len(truth))],
    )


def test_scores_of_a_clip() -> None:
    shares = np.array([[0.2, 0.5, 0.3]])
    assert lac(shares)[0] == pytest.approx([0.8, 0.5, 0.7])
    assert aps(shares)[0] == pytest.approx([0.8, 0.0, 0.5])
    assert raps(shares)[0] == pytest.approx([0.8 + 2 * RAPS_PENALTY, 0.0, 0.5 + RAPS_PENALTY])


def test_all_speakers_weigh_the_same() -> None:
    weights = speaker_weights(["a", "a", "a", "b"])
    assert weights == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert speaker_weights(["a"] * 4) == pytest.approx([1 / 4] * 4), "one speaker: every clip by itself"


def test_with_a_clip_a_speaker_it_is_the_quantile_of_split_conformal_prediction() -> None:
    scores = np.random.default_rng(1).random(199)
    for coverage in (0.5, 0.8, 0.9, 0.95):
        expected = np.sort(scores)[int(np.ceil(200 * coverage - 1e-9)) - 1]
        found = thresholds(scores, np.full(199, 1 / 199), np.array([coverage]))
        assert found[0] == expected
    assert np.isinf(thresholds(scores, np.full(199, 1 / 199), np.array([0.999]))[0]), "199 clips cannot say"


@pytest.mark.parametrize("name", SCORES)
def test_new_speakers_are_covered_as_often_as_was_asked(name: str) -> None:
    covered = []
    for seed in range(40):
        shares, truth, speakers = world(20, 30, seed)
        record = conformal_record(shares, truth, speakers, "lac")
        new, is_true, _ = world(20, 30, 1000 + seed)
        held = record.sets(new, 0.9, name)  # type: ignore[arg-type]
        covered.append(held[np.arange(len(is_true)), is_true].mean())
    error = np.std(covered) / np.sqrt(len(covered))
    assert (
        abs(np.mean(covered) - 0.9) < 3 * error + 0.01
    )  # the smallest bias of 20 speakers: below 1 / (2 * 20) of the spread


def test_the_likeliest_class_is_always_in_the_set_and_more_coverage_is_never_smaller() -> None:
    shares, truth, speakers = world(10, 40, 3)
    record = conformal_record(shares, truth, speakers, "lac")
    smaller, larger = record.sets(shares, 0.6), record.sets(shares, 0.95)
    assert smaller[np.arange(len(shares)), shares.argmax(axis=1)].all()
    assert (larger | ~smaller).all() and larger.sum() > smaller.sum()


def test_with_the_sets_of_mapie() -> None:
    mapie = pytest.importorskip("mapie.classification", reason="mapie is not installed (pip install mapie)")
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Answers with the probabilities that are its input."""

        classes_ = np.arange(CLASSES)

        def fit(self, x: np.ndarray, y: np.ndarray) -> Given:
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return x

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.asarray(x.argmax(axis=1))

        def __sklearn_is_fitted__(self) -> bool:
            return True

    shares, truth, _ = world(300, 1, 5)
    new, _, _ = world(200, 1, 6)
    record = conformal_record(shares, truth, [f"s{row}" for row in range(len(truth))], "lac")
    for coverage in (0.8, 0.9, 0.95):
        other = mapie.SplitConformalClassifier(
            estimator=Given(), confidence_level=coverage, conformity_score="lac", prefit=True
        ).conformalize(shares, truth)
        _, sets = other.predict_set(new)
        theirs = sets[:, :, 0]
        theirs[np.arange(len(new)), new.argmax(axis=1)] = True  # ours are never empty
        assert (record.sets(new, coverage, "lac") == theirs).all()


def test_asked_for_at_most_a_tenth_of_wrong_answers() -> None:
    shares, truth, speakers = world(30, 40, 7)
    record = conformal_record(shares, truth, speakers, "lac")
    new, is_true, _ = world(200, 40, 8)
    least = record.least_confidence(0.1)
    given = new.max(axis=1) >= least
    assert 0.2 < given.mean() < 1
    assert (new[given].argmax(axis=1) != is_true[given]).mean() == pytest.approx(0.1, abs=0.03)
    assert (new.argmax(axis=1) != is_true).mean() > 0.2, "answering all is worse"
    with pytest.raises(ConfigError, match="risk: expected at least"):
        conformal_record(np.full((8, 2), 0.5), np.ones(8, np.int64), [None] * 8, "lac").least_confidence(0.1)


def test_it_is_measured_on_folds_that_did_not_set_the_thresholds() -> None:
    shares, truth, speakers = world(30, 20, 9)
    folds = np.repeat(np.arange(5), 120)
    found = measured_answers(np.log(shares), truth, folds, speakers)
    at_90 = {row["score"]: row for row in found["sets"] if row["asked"] == 0.9}
    assert set(at_90) == set(SCORES) and found["score"] == min(at_90, key=lambda name: at_90[name]["size"])
    for row in at_90.values():
        assert row["coverage_low"] < row["coverage"] < row["coverage_high"] and 0.84 < row["coverage"] < 0.96
    assert found["accuracy_at"]["0.5"] > found["accuracy_at"]["0.9"]
    # thresholds of a fold's own clips would give it away: with every class equally likely nothing is learnt of the fold
    assert measured_answers(np.log(shares), truth, np.zeros(600, np.int64), speakers) == {}


def test_it_is_written_and_read(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    with pytest.raises(ConfigError, match=r"made before 0\.7\.0"):
        ConformalRecord.read(folder)
    shares, truth, speakers = world(3, 10, 11)
    record = conformal_record(shares, truth, speakers, "aps")
    record.write(folder)
    assert ConformalRecord.read(folder) == record
    (folder / "conformal.json").write_text("{}")
    with pytest.raises(WeightsError):
        ConformalRecord.read(folder)
