"""Cross-validation: no clip is predicted by a fusion that saw it or its speaker; scores are those of scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from made_arrays import QUICK, Made
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

import mer
from mer.errors import ConfigError

FITS: list[dict[str, Any]] = []


class Watched(mer.Fusion):
    """Remembers what every copy was fitted on."""

    def fit(self, features: Any, labels: Any, **more: Any) -> mer.Fusion:
        FITS.append({"features": features, "labels": np.asarray(labels), **more})
        return super().fit(features, labels, **more)


@pytest.fixture(scope="module")
def result(made: Made) -> mer.CrossValidation:
    return mer.cross_validate(
        mer.Fusion(**QUICK | {"epochs": 20}), made.features, made.labels, made.speakers, folds=3
    )


def test_folds_are_of_whole_speakers(made: Made, result: mer.CrossValidation) -> None:
    assert sorted(set(result.fold.tolist())) == [0, 1, 2]
    for who in np.unique(made.speakers):
        assert len(set(result.fold[made.speakers == who])) == 1


def test_scores_are_those_of_scikit_learn(made: Made, result: mer.CrossValidation) -> None:
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1)
    predicted = result.predictions
    scores = result.scores.as_dict()
    assert scores["accuracy"] == pytest.approx((predicted == made.labels).mean())
    assert scores["uar"] == pytest.approx(balanced_accuracy_score(made.labels, predicted))
    assert scores["waf"] == pytest.approx(f1_score(made.labels, predicted, average="weighted"))
    assert scores["macro_f1"] == pytest.approx(f1_score(made.labels, predicted, average="macro"))
    assert (result.confusion == confusion_matrix(made.labels, predicted)).all()
    assert scores["waf"] > 0.5  # chance is a third
    for name, (low, high) in result.scores.intervals.items():
        assert low < scores[name] < high
    assert result.scores.resampled == "8 speakers"
    held = result.fold == 1
    assert result.folds[1].accuracy == pytest.approx((predicted[held] == made.labels[held]).mean())
    assert result.folds[1].clips == held.sum()


def test_it_reads_as_a_table(result: mer.CrossValidation) -> None:
    table = result.table()
    assert table.index.tolist() == ["fold 0", "fold 1", "fold 2", "pooled"]
    assert table.clips.tolist()[-1] == 120 == table.clips.tolist()[:3][0] + sum(table.clips.tolist()[1:3])
    assert repr(result) == str(result)
    lines = str(result).splitlines()
    assert lines[0].split() == ["clips", "accuracy", "uar", "waf", "macro_f1"]
    assert [line.split()[0] for line in lines[1:]] == [
        "fold",
        "fold",
        "fold",
        "pooled",
        "low",
        "high",
        "low,",
    ]


def test_it_is_a_function_of_its_arguments(made: Made, result: mer.CrossValidation) -> None:
    fusion = mer.Fusion(**QUICK | {"epochs": 20})
    again = mer.cross_validate(fusion, made.features, made.labels, made.speakers, folds=3)
    assert np.array_equal(again.probabilities, result.probabilities)
    assert not hasattr(fusion, "fitted_")


def test_no_fold_is_seen_by_the_fusion_that_answers_it(made: Made) -> None:
    """Labels and features of a fold change nothing of what is answered for its clips, but for the features of a clip itself."""
    folds = np.arange(120) % 3
    labels, features = made.labels.copy(), {name: values.copy() for name, values in made.features.items()}
    speakers = [f"{who}/{fold}" for who, fold in zip(made.speakers, folds, strict=True)]
    before = mer.cross_validate(mer.Fusion(**QUICK), features, labels, speakers, folds=folds)
    held = np.flatnonzero(folds == 1)
    labels[held] = np.roll(labels[held], 1)
    after = mer.cross_validate(mer.Fusion(**QUICK), features, labels, speakers, folds=folds)
    assert np.array_equal(after.probabilities[held], before.probabilities[held])
    assert not np.array_equal(after.probabilities[folds == 0], before.probabilities[folds == 0])


def test_validation_is_of_training_speakers_that_are_held_out(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.library.cross_validation.Fusion", Watched)
    FITS.clear()
    result = mer.cross_validate(Watched(**QUICK), made.features, made.labels, made.speakers, folds=3)
    for fold, fit in enumerate(FITS):
        train = np.flatnonzero(result.fold != fold)
        assert (fit["labels"] == made.labels[train]).all()
        chosen = made.speakers[train][fit["validation"]]
        assert len(chosen) and not set(chosen) & set(made.speakers[train][~fit["validation"]])


def test_clips_of_no_fold_are_trained_on_only(made: Made) -> None:
    folds = np.where(np.arange(120) < 60, -1, np.arange(120) % 2)
    labels: list[str | None] = made.labels.tolist()
    labels[70] = None
    with pytest.warns(UserWarning, match="8 speakers are in several folds"):
        result = mer.cross_validate(mer.Fusion(**QUICK), made.features, labels, made.speakers, folds=folds)
    assert (result.fold[:60] == -1).all() and result.fold[70] == -1 and result.scores.clips == 59
    assert np.isnan(result.probabilities[:60]).all() and np.isnan(result.probabilities[70]).all()
    assert len(result.predictions) == 59


def test_frames_soft_labels_and_valence_go_through(made: Made) -> None:
    soft = np.eye(3)[np.unique(made.labels, return_inverse=True)[1]]
    result = mer.cross_validate(
        mer.Fusion("token_attention", classes=["angry", "happy", "sad"], **QUICK),
        {"acoustic": made.frames}, soft, made.speakers, folds=2, valence=made.valence,
    )  # fmt: skip
    assert np.isfinite(result.probabilities).all() and np.isfinite(result.valence).all()


def test_a_stream_that_only_the_tested_fold_has_counts_as_missing(made: Made) -> None:
    folds = (np.arange(120) % 2).astype(int)
    rare = np.where((folds == 0)[:, None], made.features["visual"], np.nan)
    speakers = [f"{who}/{fold}" for who, fold in zip(made.speakers, folds, strict=True)]
    speech = {"acoustic": made.features["acoustic"]}
    both = mer.cross_validate(
        mer.Fusion(**QUICK), speech | {"visual": rare}, made.labels, speakers, folds=folds
    )
    alone = mer.cross_validate(mer.Fusion(**QUICK), speech, made.labels, speakers, folds=folds)
    assert np.array_equal(both.probabilities[folds == 0], alone.probabilities[folds == 0])


def test_without_speakers_it_warns_and_gives_no_intervals(made: Made) -> None:
    with pytest.warns(UserWarning, match="too good for new speakers") as caught:
        result = mer.cross_validate(mer.Fusion(**QUICK), made.features, made.labels, folds=2)
    assert len(caught) == 1 and result.scores.intervals == {}
    with warnings.catch_warnings():  # two speakers: each copy trains on one, and validates by clips
        warnings.simplefilter("error")
        mer.cross_validate(mer.Fusion(**QUICK), made.features, made.labels, np.arange(120) % 2, folds=2)


def test_wrong_arguments_say_what_was_expected(made: Made) -> None:
    with pytest.raises(ConfigError, match=r"expected a mer.Fusion first, found dict"):
        mer.cross_validate(made.features, made.features, made.labels)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 2 folds and 2 clips, found 1 folds"):
        mer.cross_validate(mer.Fusion(), made.features, made.labels, made.speakers, folds=1)
    with pytest.raises(ConfigError, match=r"array of at least 2 folds with labelled clips, found \['0'\]"):
        mer.cross_validate(mer.Fusion(), made.features, made.labels, made.speakers, folds=np.zeros(120, int))
    with pytest.raises(ConfigError, match="folds: expected strings or numbers, found both"):
        mer.cross_validate(mer.Fusion(), made.features, made.labels, made.speakers, folds=[0, "a"] * 60)
    with pytest.raises(ConfigError, match="folds: expected 120 values"):
        mer.cross_validate(mer.Fusion(), made.features, made.labels, made.speakers, folds=[0, 1])
