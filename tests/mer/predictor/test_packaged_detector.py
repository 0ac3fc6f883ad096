"""A package carries the face detector that its model was trained with, and refuses any other one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import mer
from mer.demo.clip_file import write_clip
from mer.demo.face import Expression, draw_face, make_looks
from mer.errors import WeightsError
from mer.fusion.fitted import save_fusion
from mer.media.detector_choice import COPIES_FOLDER, content_of, settled
from mer.predictions import Prediction
from mer.predictor.package import FUSION_FOLDER, ModelPackage, detector_path
from mer.recipes import Recipe

SOURCE, FRAMES = "seed:clip-tiny", {"frames": 2, "size": 64}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six people, each in a corner of a wide dark picture: the middle square shows at most half a face."""
    folder = tmp_path_factory.mktemp("films")
    paths = []
    for number in range(6):
        picture = np.full((180, 320, 3), 40, np.uint8)
        face = draw_face(make_looks(number), Expression(), 0.1, (0.0, 0.0))
        picture[: face.shape[0], : face.shape[1]] = face[:180, :320]
        paths.append(folder / f"{number}.mp4")
        write_clip(paths[-1], np.stack([picture] * 5), 5, None, 16_000)
    return paths


@pytest.fixture(scope="module")
def yunet(shared_data: Path) -> Path:
    return shared_data / "models" / "face_detection_yunet_2026may.onnx"


@pytest.fixture(scope="module")
def trained(
    films: list[Path], yunet: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray]:
    """A package without the detector's file, and what its model answered in training."""
    weights = tmp_path_factory.mktemp("weights")
    features = mer.extract(films, SOURCE, cache=weights, frames=FRAMES | {"detector": str(yunet)})
    fusion = mer.Fusion("late", hidden=8, epochs=5, batch_size=3)
    fusion.fit({"visual": features}, ["happy", "sad"] * 3, speakers=list("aabbcc"))
    options = {"source": SOURCE, "frames": FRAMES | {"detector": settled(str(yunet), weights)}}
    recipe = Recipe.model_validate(
        {"name": "seen", "emotions": ("happy", "sad"), "visual": {"features": options}}
    )
    folder = tmp_path_factory.mktemp("package")
    ModelPackage(recipe=recipe, system="fused").write(folder)
    save_fusion(folder / FUSION_FOLDER, fusion.fitted_)
    return folder, fusion.predict_proba({"visual": features})


def placed(package: Path, yunet: Path, folder: Path) -> Path:
    """A copy of a package with the detector's file in its place."""
    shutil.copytree(package, folder)
    detector = ModelPackage.read(folder).recipe.streams["visual"].features.detector
    inside = detector_path(str(detector))
    assert inside is not None
    (folder / inside).parent.mkdir()
    shutil.copy(yunet, folder / inside)
    return folder / inside


def assert_equal(answers: list[Prediction], expected: np.ndarray) -> None:
    """Compare the answers that are given as the model gives them: those of flagged clips may be less sure."""
    rows = [row for row, answer in enumerate(answers) if not answer.flags]
    assert len(rows) >= 5
    shares = [list(answers[row].probabilities.values()) for row in rows]
    np.testing.assert_allclose(shares, expected[rows], atol=1e-5)


def test_a_package_with_the_file_answers_anywhere_as_in_training(
    trained: tuple[Path, np.ndarray], films: list[Path], yunet: Path, tmp_path: Path
) -> None:
    folder, expected = trained
    placed(folder, yunet, tmp_path / "served")
    model = mer.load_model(tmp_path / "served", cache=tmp_path / "other weights")
    answers = model.predict(films)
    assert_equal(answers, expected)
    assert not (tmp_path / "other weights" / COPIES_FOLDER).exists()


@pytest.mark.parametrize("place", ["face_detection_yunet_2023mar.onnx", f"{COPIES_FOLDER}/SHA.onnx"])
def test_a_file_in_the_folder_of_weights_serves_as_well(
    place: str, trained: tuple[Path, np.ndarray], films: list[Path], yunet: Path, tmp_path: Path
) -> None:
    sha256 = content_of(settled(str(yunet), tmp_path / "scratch"))
    target = tmp_path / "weights" / place.replace("SHA", sha256)
    target.parent.mkdir(parents=True)
    shutil.copy(yunet, target)
    answers = mer.load_model(trained[0], cache=tmp_path / "weights").predict(films)
    assert_equal(answers, trained[1])


def test_without_the_file_it_says_which_one_it_needs(
    trained: tuple[Path, np.ndarray], films: list[Path], tmp_path: Path
) -> None:
    model = mer.load_model(trained[0], cache=tmp_path)
    with pytest.raises(
        WeightsError, match=r"expected YuNet's ONNX file with sha256 ebafce4e.*place that very file there"
    ):
        model.predict(films)


def test_a_changed_file_is_refused(
    trained: tuple[Path, np.ndarray], films: list[Path], yunet: Path, tmp_path: Path
) -> None:
    file = placed(trained[0], yunet, tmp_path / "served")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="the file was changed"):
        mer.load_model(tmp_path / "served", cache=tmp_path / "weights").predict(films)


def test_the_library_settles_auto_by_its_own_weights(films: list[Path], yunet: Path, tmp_path: Path) -> None:
    by_haar = mer.extract(films, SOURCE, cache=tmp_path / "w", frames=FRAMES | {"detector": "haar"})
    auto = mer.extract(films, SOURCE, cache=tmp_path / "w", frames=FRAMES | {"detector": "auto"})
    np.testing.assert_array_equal(auto.values, by_haar.values)
    (tmp_path / "w").mkdir(exist_ok=True)
    shutil.copy(yunet, tmp_path / "w" / "yunet.onnx")
    by_yunet = mer.extract(films, SOURCE, cache=tmp_path / "w", frames=FRAMES | {"detector": str(yunet)})
    auto = mer.extract(films, SOURCE, cache=tmp_path / "w", frames=FRAMES | {"detector": "auto"})
    np.testing.assert_array_equal(auto.values, by_yunet.values)
    assert not np.array_equal(by_haar.values, by_yunet.values)
