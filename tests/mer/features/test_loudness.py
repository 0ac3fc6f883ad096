"""`sound:`, loudness and length of a clip: what is measured, of which part of the sound, and where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

import mer
from mer.clips import Clip
from mer.encoders.weights import resolve_weights
from mer.errors import ConfigError
from mer.features.extract import build_extractors, extract_clips_of_each
from mer.features.loudness import QUIETEST, loudness_and_length
from mer.features.readers import reader_implementations
from mer.features.spec import AudioPreparation, FeatureSpec
from mer.recipes.layer_reading import states_to_study
from mer.recipes.loading import load_recipe, parse_recipe

SOUND = FeatureSpec(modality="acoustic", source="sound:")
RATE = 16_000


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """A tone of 1 s and amplitude .2 between half seconds of silence; the same half as loud; silence; no sound at all."""
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    padded = np.concatenate([np.zeros(RATE // 2), tone, np.zeros(RATE // 2)])
    for name, samples in (("loud", padded), ("soft", padded / 2), ("silent", np.zeros(RATE))):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, subtype="FLOAT")
    (tmp_path / "none.wav").write_bytes(b"no sound")
    names = ("loud", "soft", "silent", "none")
    return [
        Clip(content=name, name=name, path=tmp_path / f"{name}.wav", corpus_root=tmp_path) for name in names
    ]


def values(clips: list[Clip], tmp_path: Path, *specs: FeatureSpec) -> list[np.ndarray]:
    """(clips, 2) for each spec, NaN where a clip lacks the stream."""
    each = extract_clips_of_each(build_extractors(specs, tmp_path), clips)
    return [
        np.stack([one.values[0] if one.present else np.full(2, np.nan) for one in column]) for column in each
    ]


def test_loudness_and_length_are_of_the_sound_without_the_silence_at_its_ends(
    clips: list[Clip], tmp_path: Path
) -> None:
    """Fails where the sound is scaled to one peak, as encoders want it, and where silence counts."""
    (table,) = values(clips, tmp_path, SOUND)
    margins = 2 * 0.05  # left standing by `trim_silence`
    level = 0.2 / np.sqrt(2) * np.sqrt(1 / (1 + margins))
    np.testing.assert_allclose(table[0], np.log([level, 1 + margins]), atol=0.01)
    np.testing.assert_allclose(table[0] - table[1], [np.log(2), 0], atol=1e-5)
    np.testing.assert_allclose(table[2], [np.log(QUIETEST), 0], atol=1e-6)
    assert np.isnan(table[3]).all()


def test_at_another_speed_only_the_length_changes(clips: list[Clip], tmp_path: Path) -> None:
    plain, slow, fast = values(clips, tmp_path, SOUND, SOUND.at_speed(0.9), SOUND.at_speed(1.1))
    for other, speed in ((slow, 0.9), (fast, 1.1)):
        np.testing.assert_allclose(plain[:3] - other[:3], np.tile([0, np.log(speed)], (3, 1)), atol=1e-6)
    assert len({spec.key("sound:") for spec in (SOUND, SOUND.at_speed(0.9), SOUND.at_speed(1.1))}) == 3


def test_silence_that_is_left_standing_counts_and_too_little_sound_is_none(
    clips: list[Clip], tmp_path: Path
) -> None:
    def prepared(**audio: object) -> FeatureSpec:
        return SOUND.model_copy(update={"audio": AudioPreparation.model_validate(audio)})

    whole, long = values(clips[:1], tmp_path, prepared(trim_silence=False), prepared(min_seconds=1.5))
    np.testing.assert_allclose(np.exp(whole[0, 1]), 2.0, rtol=1e-5)
    assert np.isnan(long).all()
    (fast,) = values(clips[:1], tmp_path, prepared(min_seconds=1.0, speed=1.2))
    assert np.isnan(fast).all(), "1.1 seconds at 1.2 times the speed are less than one"


def test_one_sample_is_a_sound() -> None:
    np.testing.assert_allclose(
        loudness_and_length(np.full(1, 0.5, np.float32)), np.log([0.5, 1 / RATE]), rtol=1e-6
    )


def test_the_library_extracts_it_as_speech(clips: list[Clip], tmp_path: Path) -> None:
    features = mer.extract([clip.path for clip in clips[:2]], "sound:", cache=tmp_path)
    assert features.modality == "acoustic" and isinstance(features.values, np.ndarray)
    np.testing.assert_allclose(features.values, values(clips[:2], tmp_path, SOUND)[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"modality": "visual"}, "is acoustic, found modality 'visual'"),
        ({"layers": "all"}, "has neither, leave them out"),
        ({"pooling": "mean_std"}, "has neither, leave them out"),
    ],
)
def test_what_it_has_not_is_refused(options: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        FeatureSpec.model_validate({"modality": "acoustic", "source": "sound:"} | options)


def test_it_is_a_stream_of_a_recipe_like_any_other(tmp_path: Path) -> None:
    text = (
        "name: heard\nstreams: {sound: {modality: acoustic, features: {source: 'sound:'}, speeds: [0.9]}}\n"
    )
    recipe = parse_recipe(text, origin="heard")
    stream = recipe.streams["sound"]
    assert stream.features == SOUND and not stream.features.layered and not stream.features.encoded
    assert [spec.audio.speed for spec in stream.feature_variants] == [1.0, 0.9]
    found = load_recipe(  # `demo` aligns the face to its one stream of speech, which it still is
        "demo",
        ["streams.sound={modality: acoustic, features: {source: x}}", "streams.sound.features.source=sound:"],
    )
    assert found.streams["sound"].features.source == "sound:"
    with pytest.raises(
        ConfigError, match=r"stream sound .* has loudness and length \(sound:\), which have no layers"
    ):
        states_to_study(recipe, "sound")
    with pytest.raises(ConfigError, match="which has no layers"):
        parse_recipe(text.replace("speeds: [0.9]", "adaptation: {}"), origin="heard")
    assert (
        reader_implementations(SOUND, resolve_weights("sound:", tmp_path))[0]
        == "mer.features.loudness:SoundReader"
    )
