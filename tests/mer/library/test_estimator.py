"""`mer.Fusion` on plain arrays: who validates, what is left out, what comes back from a folder, what wrong arguments say."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from made_arrays import CLASSES, QUICK, Made
from torch import nn

import mer
from mer.errors import ConfigError, WeightsError
from mer.fusion.registry import model_names


class Mean(mer.FusionModel):
    """A model of a user: the mean of linear projections."""

    def __init__(self, shape: Any, config: Any) -> None:
        super().__init__(shape)
        self.read = nn.ModuleDict(
            {name: nn.Linear(width, config.hidden) for name, width in shape.widths.items()}
        )
        self.add_heads(config.hidden, config)

    def fuse(self, inputs: Any, masks: Any) -> Any:
        read = torch.stack([self.read[name](inputs[name]) * masks[name] for name in self.streams])
        return self.decode(read.mean(dim=0), torch.cat([masks[name] for name in self.streams], dim=1))


class Other(Mean):
    pass


def quick(model: Any = "concat", **more: Any) -> mer.Fusion:
    return mer.Fusion(model, **QUICK | more)


@pytest.fixture(scope="module")
def fitted(made: Made) -> mer.Fusion:
    return quick().fit(made.features, made.labels, speakers=made.speakers)


def test_it_learns_what_shows(made: Made, fitted: mer.Fusion) -> None:
    assert fitted.classes_.tolist() == list(CLASSES)
    probabilities = fitted.predict_proba(made.features)
    assert probabilities.shape == (120, 3) and probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert (fitted.predict(made.features) == fitted.classes_[probabilities.argmax(axis=1)]).all()
    longer = quick(epochs=30).fit(made.features, made.labels, speakers=made.speakers)
    right = longer.predict(made.features) == made.labels
    assert right[longer.validation_].mean() > 0.7 and right.mean() > 0.7  # chance is a third


def test_validation_speakers_are_not_trained_on(made: Made, fitted: mer.Fusion) -> None:
    held_out = fitted.validation_
    assert 0.1 < held_out.mean() < 0.4
    assert not set(made.speakers[held_out]) & set(made.speakers[~held_out])
    changed = {name: values.copy() for name, values in made.features.items()}
    for values in changed.values():
        values[held_out] = 0
    blind = quick(patience=0, validation_share=0).fit(
        {name: values[~held_out] for name, values in changed.items()},
        made.labels[~held_out],
        speakers=made.speakers[~held_out],
    )
    mask = quick(patience=0).fit(changed, made.labels, speakers=made.speakers, validation=held_out)
    for name, statistics in blind.fitted_.standardisation.items():  # nor standardised by
        torch.testing.assert_close(mask.fitted_.standardisation[name].mean, statistics.mean, rtol=0, atol=0)


def test_equal_seeds_are_equal_bit_for_bit(made: Made, fitted: mer.Fusion) -> None:
    again = quick().fit(made.features, made.labels, speakers=made.speakers)
    other = quick(seed=2).fit(made.features, made.labels, speakers=made.speakers)
    assert np.array_equal(again.predict_proba(made.features), fitted.predict_proba(made.features))
    assert not np.array_equal(other.predict_proba(made.features), fitted.predict_proba(made.features))


def test_pandas_torch_and_lists_give_the_same_bits(made: Made, fitted: mer.Fusion) -> None:
    features = {
        "acoustic": pd.DataFrame(made.features["acoustic"]),
        "visual": torch.from_numpy(made.features["visual"]),
    }
    again = quick().fit(features, pd.Series(made.labels), speakers=made.speakers.tolist())
    assert np.array_equal(again.predict_proba(made.features), fitted.predict_proba(features))


def test_a_missing_stream_changes_nothing_whatever_it_holds(made: Made, fitted: mer.Fusion) -> None:
    speech = {"acoustic": made.features["acoustic"]}
    nothing = np.full_like(made.features["visual"], np.nan)
    assert np.array_equal(fitted.predict_proba(speech), fitted.predict_proba(speech | {"visual": nothing}))
    absent = np.isnan(made.features["visual"]).all(axis=1)
    assert absent.any()
    assert np.array_equal(fitted.predict(speech)[absent], fitted.predict(made.features)[absent])
    weights = fitted.stream_weights(made.features)
    assert list(weights) == ["acoustic", "visual"]
    assert (weights["visual"][absent] == 0).all() and (weights["acoustic"][absent] == 1).all()
    assert (weights["visual"][~absent] == 0.5).all()


def test_unlabelled_clips_are_left_out(made: Made) -> None:
    labels: list[str | None] = made.labels.tolist()
    labels[:20] = [None] * 20
    with_them = quick().fit(made.features, labels, speakers=made.speakers)
    assert not with_them.validation_[:20].any()
    wild = {name: values.copy() for name, values in made.features.items()}
    for values in wild.values():
        values[:20] = 1e4
    again = quick().fit(wild, labels, speakers=made.speakers)
    assert np.array_equal(with_them.predict_proba(made.features), again.predict_proba(made.features))


def test_whole_numbers_come_back_as_whole_numbers(made: Made, tmp_path: Path) -> None:
    numbers = np.array([{"angry": 3, "happy": 7, "sad": 10}[label] for label in made.labels])
    fusion = quick(validation_share=0.3).fit(made.features, numbers, speakers=made.speakers)
    assert fusion.predict(made.features).dtype.kind == "i" and fusion.classes_.tolist() == [3, 7, 10]
    fusion.save(tmp_path)
    loaded = mer.Fusion.load(tmp_path)
    assert loaded.classes_.tolist() == [3, 7, 10] and loaded.validation_share == 0.3
    digits = quick().fit(made.features, numbers.astype(str), speakers=made.speakers)
    assert mer.Fusion.load(digits.save(tmp_path)).classes_.tolist() == ["10", "3", "7"]


def test_soft_labels_are_learnt(made: Made) -> None:
    hard = np.eye(3)[[CLASSES.index(label) for label in made.labels]]
    fusion = quick(classes=CLASSES, epochs=30, label_smoothing=0).fit(
        made.features, hard, speakers=made.speakers
    )
    unsure = quick(classes=CLASSES, epochs=30, label_smoothing=0).fit(
        made.features, 0.4 * hard + 0.2, speakers=made.speakers
    )
    assert fusion.score(made.features, made.labels) > 0.7
    confidence = fusion.predict_proba(made.features).max(axis=1).mean()
    assert unsure.predict_proba(made.features).max(axis=1).mean() < min(confidence, 0.62)


def test_valence_is_learnt_only_where_it_is_given(made: Made, fitted: mer.Fusion) -> None:
    fusion = quick(epochs=30).fit(made.features, made.labels, speakers=made.speakers, valence=made.valence)
    answers = fusion.predict_valence(made.features)
    assert answers.dtype == np.float64 and np.corrcoef(answers, made.valence)[0, 1] > 0.6
    with pytest.raises(ConfigError, match="expected a fusion fitted with `valence=`"):
        fitted.predict_valence(made.features)


def test_frames_are_read_as_frames_or_as_their_mean(made: Made, tmp_path: Path) -> None:
    streams: dict[str, Any] = {"acoustic": made.frames, "visual": made.features["visual"]}
    framewise = quick("token_attention").fit(streams, made.labels, speakers=made.speakers)
    assert framewise.fitted_.config.level == "frames"
    assert framewise.score(streams, made.labels) > 0.5
    mean = quick(level="utterance").fit(streams, made.labels, speakers=made.speakers)
    vectors = np.array([np.full(6, np.nan) if clip is None else clip.mean(axis=0) for clip in made.frames])
    plain = quick().fit(streams | {"acoustic": vectors}, made.labels, speakers=made.speakers)
    np.testing.assert_allclose(
        mean.predict_proba(streams), plain.predict_proba(streams | {"acoustic": vectors}), atol=1e-5
    )
    loaded = mer.Fusion.load(framewise.save(tmp_path))
    assert np.array_equal(loaded.predict_proba(streams), framewise.predict_proba(streams))
    with pytest.raises(
        ConfigError,
        match="stream acoustic: expected frames, a list of arrays, as it was fitted on, found vectors",
    ):
        framewise.predict(made.features)
    with pytest.raises(
        ConfigError, match=r"stream acoustic: expected vectors .*, as it was fitted on, found frames"
    ):
        plain.predict(streams)


def test_what_is_loaded_answers_bit_for_bit_the_same(made: Made, fitted: mer.Fusion, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "new" / "folder")
    assert sorted(path.name for path in folder.iterdir()) == ["fusion.json", "fusion.safetensors"]
    np.savez(tmp_path / "clips.npz", acoustic=made.features["acoustic"], visual=made.features["visual"])
    program = (
        "import sys, numpy, torch, mer; torch.set_num_threads(1); clips = dict(numpy.load(sys.argv[1])); "
        "numpy.save(sys.argv[3], mer.Fusion.load(sys.argv[2]).predict_proba(clips))"
    )
    arguments = [str(tmp_path / "clips.npz"), str(folder), str(tmp_path / "answers.npy")]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    assert np.array_equal(np.load(tmp_path / "answers.npy"), fitted.predict_proba(made.features))
    loaded = mer.Fusion.load(folder)
    assert loaded.get_params() == fitted.get_params() | {"level": "utterance", "classes": list(CLASSES)}
    (folder / "fusion.json").unlink()
    with pytest.raises(WeightsError, match=r"fusion.json: expected what Fusion.save wrote, found none"):
        mer.Fusion.load(folder)


def test_a_callable_is_a_model_and_is_needed_again(made: Made, tmp_path: Path) -> None:
    fusion = quick(Mean).fit(made.features, made.labels, speakers=made.speakers)
    assert isinstance(fusion.fitted_.config.model, str) and not any("Mean" in name for name in model_names())
    fusion.save(tmp_path)
    with pytest.raises(
        ConfigError, match=r"made with the callable .*:Mean, whose code is not saved; give it again"
    ):
        mer.Fusion.load(tmp_path)
    with pytest.raises(ConfigError, match=r"expected the model .*:Mean, found .*:Other"):
        mer.Fusion.load(tmp_path, model=Other)
    loaded = mer.Fusion.load(tmp_path, model=Mean)
    assert np.array_equal(loaded.predict_proba(made.features), fusion.predict_proba(made.features))
    with pytest.raises(ConfigError, match="expected its builder to give a FusionModel, found dict"):
        quick(lambda shape, config: {}).fit(made.features, made.labels, speakers=made.speakers)


def test_without_speakers_it_warns_and_holds_out_clips(made: Made) -> None:
    with pytest.warns(
        UserWarning, match="speakers are not given: validation clips are held out clip by clip"
    ):
        fusion = quick().fit(made.features, made.labels)
    assert 0.1 < fusion.validation_.mean() < 0.3
    for label in CLASSES:  # classes kept even
        assert abs((made.labels[fusion.validation_] == label).mean() - (made.labels == label).mean()) < 0.1
    with pytest.warns(UserWarning, match="all clips are of one speaker"):
        quick().fit(made.features, made.labels, speakers=["me"] * 120)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(made.features, made.labels, validation=False)
        quick(validation_share=0).fit(made.features, made.labels)


def test_it_can_be_cloned_and_searched_by_scikit_learn(made: Made) -> None:
    from sklearn.base import clone

    fusion = quick("late", classes=CLASSES)
    assert clone(fusion).get_params() == fusion.get_params()
    assert repr(clone(fusion)).startswith("Fusion(model='late', classes=('angry', 'happy', 'sad'), epochs=6")
    assert fusion.set_params(hidden=4, model="concat").get_params()["hidden"] == 4
    with pytest.raises(ConfigError, match="unknown option 'epoch'; did you mean 'epochs'"):
        fusion.set_params(epoch=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "Fusion: unknown option 'epoch'; did you mean 'epochs'"),
        ({"model": "conkat"}, "unknown fusion model 'conkat'"),
        ({"model": 3}, "the name of a fusion model, or a function or class"),
        ({"epochs": 0}, "epochs: Input should be greater than or equal to 1, found 0"),
        ({"level": "word"}, "level: Input should be 'utterance' or 'frames', found 'word'"),
        ({"validation_share": 0.9}, r"validation_share: expected a value in \[0, .5\], found 0.9"),
        ({"validation_share": None}, "validation_share: expected a value"),
        ({"classes": ["a"]}, "at least 2 distinct names"),
        ({"classes": 3}, "classes: expected a list of class names, found 3"),
    ],
)
def test_wrong_options_are_said_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mer.Fusion(**options)


def test_wrong_data_says_what_was_expected(made: Made, fitted: mer.Fusion) -> None:
    features, labels, speakers = made.features, made.labels, made.speakers
    with pytest.raises(ConfigError, match="labels: expected 120 values, one per clip, found 119"):
        quick().fit(features, labels[1:], speakers=speakers)
    with pytest.raises(ConfigError, match="speakers: expected 120 values"):
        quick().fit(features, labels, speakers=speakers[1:])
    with pytest.raises(
        ConfigError, match="stream visual: expected features of at least one labelled clip, found NaN for all"
    ):
        quick().fit(features | {"visual": np.full((120, 3), np.nan)}, labels, speakers=speakers)
    with pytest.raises(ConfigError, match="at least 2 classes, found 1"):
        quick().fit(features, ["sad"] * 120, speakers=speakers)
    with pytest.raises(ConfigError, match="found the same index in another order"):
        names = [f"clip{row}" for row in range(120)]
        quick().fit(
            pd.DataFrame(features["acoustic"], index=names),
            pd.Series(labels, index=names[::-1]),
            speakers=speakers,
        )
    with pytest.raises(
        ConfigError, match="validation: expected a mask of 120 bools, or False, found values of int64"
    ):
        quick().fit(features, labels, validation=np.arange(120))
    with pytest.raises(ConfigError, match="other speakers than the training clips, found 8 speakers in both"):
        quick().fit(features, labels, speakers=speakers, validation=np.arange(120) % 2 == 0)
    with pytest.raises(ConfigError, match="leaves training clips of one class only"):
        quick(validation_share=0.5).fit(features, labels, speakers=labels == "sad")
    with pytest.raises(ConfigError, match="expected streams acoustic, visual, found also lexical"):
        fitted.predict(features | {"lexical": features["visual"]})
    with pytest.raises(ConfigError, match="stream acoustic: expected 6 features, found 3"):
        fitted.predict({"acoustic": features["visual"]})
    with pytest.raises(ConfigError, match="expected streams acoustic, visual, found also features"):
        fitted.predict(features["acoustic"])
    with pytest.raises(ConfigError, match="expected a fitted fusion"):
        quick().predict(features)


def test_a_fusion_of_one_stream_takes_a_plain_array(made: Made) -> None:
    fusion = quick().fit({"acoustic": made.features["acoustic"]}, made.labels, speakers=made.speakers)
    single = quick().fit(made.features["acoustic"], made.labels, speakers=made.speakers)
    assert single.streams_ == ("features",)
    assert np.array_equal(
        fusion.predict_proba(made.features["acoustic"]), single.predict_proba(made.features["acoustic"])
    )
