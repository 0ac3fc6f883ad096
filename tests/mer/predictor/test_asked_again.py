"""A predictor in memory that is asked again about clips of the same paths answers by what they are now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.clips import Clip, NoisyMix
from mer.examples import Examples
from mer.predictor.loaded import LoadedParts
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.predictor.predictor import Predictor
from mer.predictor.reading import BatchReading
from mer.quality.corruption import ClipNoise
from mer.recipes import Recipe
from mer.systems.kinds import FitData, fit_system

EMOTIONS = ("angry", "happy")
STREAMS = {
    "voice": {"modality": "acoustic", "features": {"source": "wheel:moonshine-tiny", "pooling": "mean"}},
    "words": {"modality": "lexical", "features": {"source": "wheel:all-minilm-l6-v2", "pooling": "mean"}},
    "given": {"modality": "acoustic", "features": {"source": "files:given"}},
}
WORDS = ("I am glad", "leave me alone", "how nice", "go away now")


def write_sound(path: Path, seed: int) -> None:
    """Three syllables of noise: what neither rises nor falls is no speech, and is not read."""
    waveform = np.random.default_rng(seed).normal(0, 0.1, 16_000).cumsum() / 50
    syllables = np.maximum(np.sin(np.arange(16_000) * 6 * np.pi / 16_000), 0)
    soundfile.write(path, np.clip(waveform * syllables, -1, 1), 16_000)


def write_features(folder: Path, name: str, value: float) -> None:
    (folder / "features/given").mkdir(parents=True, exist_ok=True)
    np.save(folder / f"features/given/{name}.npy", np.full(3, value, dtype=np.float32))


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    made = []
    for row, words in enumerate(WORDS):
        path = tmp_path / f"c{row}.wav"
        write_sound(path, row)
        write_features(tmp_path, path.stem, row + 1)
        made.append(Clip(name=path.stem, content="", path=path, corpus_root=tmp_path, transcript=words))
    return made


@pytest.fixture
def predictor(clips: list[Clip], tmp_path: Path) -> Predictor:
    """Fitted to these four clips, by sound, words and feature files."""
    recipe = Recipe.model_validate({"name": "small", "emotions": EMOTIONS, "streams": STREAMS})
    record, folder = ModelPackage(recipe=recipe, system="fused"), tmp_path / "package"
    record.write(folder)
    tables = {"utterance": BatchReading(LoadedParts(record, folder, tmp_path), clips).streams("utterance")}
    count = len(clips)
    examples = Examples(
        tuple(clip.name for clip in clips), np.arange(count) % 2, np.zeros(count, np.float32), (None,) * count,
        np.zeros(count, np.int64), np.ones(count, np.float32),
    )  # fmt: skip
    data = FitData(tables, examples, np.ones(count, bool), np.zeros(count, bool), EMOTIONS)  # type: ignore[arg-type]
    fit_system("neural", data, {"hidden": 8, "epochs": 5}).save(folder / FUSION_FOLDER)
    return Predictor(folder, tmp_path)


def other_words(clip: Clip) -> Clip:
    return replace(clip, transcript="what a terrible day")


def no_words(clip: Clip) -> Clip:
    return replace(clip, transcript=None)


def other_sound_under_the_path(clip: Clip) -> Clip:
    write_sound(clip.path, 99)
    return clip


def other_features_under_the_path(clip: Clip) -> Clip:
    write_features(clip.corpus_root, clip.name, 7.0)
    return clip


def noise(clip: Clip) -> Clip:
    mix = ClipNoise("c", 0.0, ("t",), 1, 0)
    return replace(clip, noise=NoisyMix(mix, (clip.corpus_root / "c3.wav",)))


def other_noise(clip: Clip) -> Clip:
    mix = ClipNoise("c", -10.0, ("t",), 1, 0)
    return replace(clip, noise=NoisyMix(mix, (clip.corpus_root / "c2.wav",)))


def a_copy(clip: Clip) -> Clip:
    return replace(clip)


@pytest.mark.parametrize(
    "change",
    [other_words, no_words, other_sound_under_the_path, other_features_under_the_path, noise, other_noise],
)
def test_what_changed_changes_the_answer(
    predictor: Predictor, clips: list[Clip], change: Callable[[Clip], Clip]
) -> None:
    asked = clips[:2]
    before = predictor.posteriors(asked).logits
    changed = [change(asked[0]), asked[1]]
    after = predictor.posteriors(changed).logits
    assert not np.allclose(before[0], after[0], atol=1e-6), "the answer of before"
    np.testing.assert_allclose(before[1], after[1], atol=1e-6)
    fresh = Predictor(predictor._parts._folder, predictor._parts._weights).posteriors(changed).logits
    np.testing.assert_allclose(after, fresh, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "modalities", "flags"),
    [
        (no_words, ("voice", "given"), ("no_transcript", "one_modality")),
        (a_copy, ("voice", "words", "given"), ()),
    ],
)
def test_what_was_there_is_said_of_the_clips_as_they_are_now(
    predictor: Predictor,
    clips: list[Clip],
    change: Callable[[Clip], Clip],
    modalities: tuple[str, ...],
    flags: tuple[str, ...],
) -> None:
    predictor.predict([no_words(clips[0]), clips[1]])
    predictor.predict(clips[:2])
    (answer, other) = predictor.predict([change(clips[0]), clips[1]])
    assert set(answer.modalities) == set(modalities) and answer.flags == flags
    assert set(other.modalities) == {"voice", "words", "given"} and other.flags == ()
    predictor.predict([replace(clips[0], path=clips[0].path.with_name("gone.wav"))])
    assert predictor.predict([clips[0]])[0].flags == ()
