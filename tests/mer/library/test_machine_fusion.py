"""`mer.Fusion` as it comes, a searched ensemble, and the other models that are no networks."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from made_arrays import QUICK, Made
from sklearn.base import clone

import mer
from mer.errors import ConfigError, WeightsError
from mer.fusion.system import NeuralSystem
from mer.kernels.system import SearchedSystem


@pytest.fixture(scope="module")
def fitted(made: Made) -> mer.Fusion:
    return mer.Fusion().fit(made.features, made.labels, speakers=made.speakers, valence=made.valence)


def test_without_a_model_it_is_searched_and_with_options_of_networks_a_network(made: Made) -> None:
    few = {name: values[:40] for name, values in made.features.items()}
    labels, speakers = made.labels[:40], made.speakers[:40]
    assert isinstance(mer.Fusion().fit(few, labels, speakers=speakers)._system, SearchedSystem)
    network = mer.Fusion(**QUICK).fit(few, labels, speakers=speakers)
    named = mer.Fusion("concat", **QUICK).fit(few, labels, speakers=speakers)
    assert isinstance(network._system, NeuralSystem) and network.validation_.any()
    np.testing.assert_array_equal(network.predict_proba(few), named.predict_proba(few))


def test_it_answers_all_that_networks_answer(made: Made, fitted: mer.Fusion) -> None:
    probabilities = fitted.predict_proba(made.features)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert fitted.score(made.features, made.labels) > 0.8
    assert not fitted.validation_.any() and fitted.best_epoch_ == 0
    assert len(fitted.history_) == fitted.fitted_.figures["candidates"]
    assert np.corrcoef(fitted.predict_valence(made.features), made.valence)[0, 1] > 0.7
    weights = fitted.stream_weights(made.features)
    lacking = np.isnan(made.features["visual"]).all(axis=1)
    assert (weights["visual"][lacking] == 0).all() and (weights["visual"][~lacking] > 0).all()
    alone = fitted.predict_proba({"acoustic": made.features["acoustic"]})
    np.testing.assert_allclose(alone[lacking], probabilities[lacking], atol=1e-5)


@pytest.mark.parametrize("model", [None, "kernel", "linear"])
def test_it_is_loaded_as_it_was_saved(made: Made, model: str | None, tmp_path: Path) -> None:
    options = {"folds": 3} if model else {"folds": 3, "penalties": (0.1, 0.3)}
    fusion = mer.Fusion(model, **options).fit(made.features, made.labels, speakers=made.speakers)
    loaded = mer.Fusion.load(fusion.save(tmp_path / "a"))
    np.testing.assert_array_equal(loaded.predict_proba(made.features), fusion.predict_proba(made.features))
    assert loaded.options == {**options, **({"penalties": [0.1, 0.3]} if not model else {})}
    assert loaded.model == (model or "searched") and loaded.streams_ == fusion.streams_
    loaded.save(tmp_path / "b")
    again = mer.Fusion.load(tmp_path / "b")
    np.testing.assert_array_equal(again.predict_proba(made.features), fusion.predict_proba(made.features))
    record = json.loads((tmp_path / "a" / "fusion.json").read_text(encoding="utf-8"))
    (tmp_path / "a" / "fusion.json").write_text(
        json.dumps(record | {"classes": ["a", "b"]}), encoding="utf-8"
    )
    with pytest.raises(WeightsError, match="expected the files of one fusion, found those of two"):
        mer.Fusion.load(tmp_path / "a")


def test_folders_of_networks_are_those_of_0_5_0(made: Made, tmp_path: Path) -> None:
    """Two files, and no key in the record that 0.5.0 did not write: both versions read both."""
    fusion = mer.Fusion("concat", **QUICK).fit(made.features, made.labels, speakers=made.speakers)
    folder = fusion.save(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["fusion.json", "fusion.safetensors"]
    record = json.loads((folder / "fusion.json").read_text(encoding="utf-8"))
    assert sorted(record) == ["builder", "classes", "format", "framewise", "model", "validation_share"]
    np.testing.assert_array_equal(
        mer.Fusion.load(folder).predict_proba(made.features), fusion.predict_proba(made.features)
    )


def test_frames_are_averaged(made: Made) -> None:
    features = {"acoustic": made.frames, "visual": made.features["visual"]}
    fusion = mer.Fusion("kernel").fit(features, made.labels, speakers=made.speakers)
    means = np.stack([np.full(6, np.nan) if f is None else f.mean(axis=0) for f in made.frames])
    other = mer.Fusion("kernel").fit({**features, "acoustic": means}, made.labels, speakers=made.speakers)
    np.testing.assert_allclose(
        fusion.predict_proba(features), other.predict_proba({**features, "acoustic": means}), atol=1e-4
    )


def test_a_mask_of_validation_clips_is_not_learnt_from(made: Made) -> None:
    kept_out = made.speakers == made.speakers[0]
    fusion = mer.Fusion("kernel").fit(made.features, made.labels, speakers=made.speakers, validation=kept_out)
    spoilt = np.where(kept_out, "angry", made.labels)
    other = mer.Fusion("kernel").fit(made.features, spoilt, speakers=made.speakers, validation=kept_out)
    np.testing.assert_array_equal(fusion.predict_proba(made.features), other.predict_proba(made.features))
    assert (fusion.validation_ == kept_out).all()


def test_cross_validation_keeps_speakers_apart(made: Made) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = mer.cross_validate(
            mer.Fusion("kernel"), made.features, made.labels, made.speakers, folds=3, valence=made.valence
        )
    assert result.scores.accuracy > 0.8 and np.isfinite(result.valence).all()
    with pytest.warns(UserWarning, match="speakers are not given"):
        mer.Fusion("kernel").fit(made.features, made.labels)


def test_options_are_those_of_the_model() -> None:
    assert mer.Fusion("kernel", width=2.0).get_params()["width"] == 2.0
    assert repr(clone(mer.Fusion("linear", folds=3))) == "Fusion(model='linear', folds=3)"
    assert repr(mer.Fusion(folds=3)) == "Fusion(model='searched', folds=3)"
    assert mer.Fusion(seed=4).seed == 4
    for arguments, message in (
        (
            {"model": "kernel", "epochs": 3},
            r"'epochs' is an option of networks.*Fusion\('concat', epochs=...\)",
        ),
        (
            {"model": "kernel", "widht": 3},
            r"Fusion\('kernel'\): unknown option 'widht'; did you mean 'width'",
        ),
        ({"model": "kernel", "level": "frames"}, "expected vectors, as 'kernel' reads them"),
        ({"model": "searched", "folds": 1}, "greater than or equal to 2"),
        ({"model": "kernel", "streams": {"a": -1.0}}, "expected positive weights"),
    ):
        with pytest.raises(ConfigError, match=message):
            mer.Fusion(**arguments)  # type: ignore[arg-type]
