"""A served model answers for every clip of a batch, whatever one of them does to its decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import mer
from mer.encoders.weight_files import wheel_folder
from mer.fusion.fitted import save_fusion
from mer.library.clip_files import clips_of
from mer.media.audio import decode_audio
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.predictor.predictor import Predictor
from mer.recipes import Recipe

pytestmark = pytest.mark.slow

CLASSES = ("angry", "happy", "sad")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of speech, trained on a handful of noises."""
    folder = tmp_path_factory.mktemp("model")
    generator = np.random.default_rng(1)
    paths = []
    for number in range(12):
        paths.append(folder / f"train{number}.wav")
        soundfile.write(paths[-1], generator.standard_normal(8_000) * 0.02 * (1 + number % 3), 16_000)
    features = {"modality": "acoustic", "source": "wheel:moonshine-tiny", "layers": [2], "pooling": "mean"}
    speech = mer.extract(paths, "wheel:moonshine-tiny", layers=(2,), cache=folder / "weights")
    labels = [CLASSES[number % 3] for number in range(12)]
    fusion = mer.Fusion(hidden=8, epochs=2).fit(
        {"acoustic": speech}, labels, speakers=[f"s{number % 4}" for number in range(12)]
    )
    recipe = Recipe.model_validate({"name": "made", "emotions": CLASSES, "acoustic": {"features": features}})
    ModelPackage(recipe=recipe, system="fused").write(folder / "package")
    save_fusion(folder / "package" / FUSION_FOLDER, fusion.fitted_)
    return folder / "package"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Speech, a header of 260 MHz in 200 kB, rubbish, and speech."""
    generator = np.random.default_rng(2)
    speech = decode_audio(
        wheel_folder("moonshine_voice", "moonshine-voice") / "assets" / "two_cities.wav", max_seconds=6.0
    )
    names = ("first.wav", "hostile.wav", "rubbish.wav", "last.wav")
    for number, name in enumerate(names):
        soundfile.write(tmp_path / name, speech[16_000 * number : 16_000 * (number + 2)], 16_000)
    content = bytearray((tmp_path / "hostile.wav").read_bytes() + bytes(170_000))
    content[24:28] = (260_000_000).to_bytes(4, "little")
    (tmp_path / "hostile.wav").write_bytes(content)
    (tmp_path / "rubbish.wav").write_bytes(generator.bytes(10_000))
    return [tmp_path / name for name in names]


def test_a_predictor_answers_for_the_others(package: Path, files: list[Path], tmp_path: Path) -> None:
    alone = Predictor(package, tmp_path / "weights").predict(clips_of([files[0], files[3]]))
    found = Predictor(package, tmp_path / "weights").predict(clips_of(files))
    assert [answer.name for answer in found] == ["first", "hostile", "rubbish", "last"]
    assert [bool(answer.modalities) for answer in found] == [True, False, False, True]
    for answer, by_itself in zip((found[0], found[3]), alone, strict=True):
        assert answer.probabilities == pytest.approx(by_itself.probabilities)
    assert "bad_sample_rate" in found[1].flags
    assert "not_media" in found[2].flags


def test_the_library_says_why_a_file_has_no_answer(package: Path, files: list[Path], tmp_path: Path) -> None:
    answers = mer.load_model(package, cache=tmp_path / "weights").predict(files)
    assert [answer.status for answer in answers] == ["ok", "bad_sample_rate", "not_media", "ok"]
