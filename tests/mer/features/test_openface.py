"""Crops that OpenFace left, as an array or as pictures, become the crops of a clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mer.clips import Clip
from mer.errors import MediaError
from mer.features.extract import build_extractor, extract_clips
from mer.features.openface import openface_crops
from mer.features.spec import FeatureSpec, FramePreparation


def clip(root: Path, name: str = "c1") -> Clip:
    return Clip(content=name, name=name, path=root / f"{name}.mp4", corpus_root=root)


def frames(count: int = 10, side: int = 16) -> np.ndarray:
    """Blue frames (BGR), each brighter than the last."""
    stored = np.zeros((count, side, side, 3), dtype=np.uint8)
    stored[..., 0] = 10 * np.arange(1, count + 1, dtype=np.uint8)[:, None, None]
    return stored


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "openface_face" / "c1"
    folder.mkdir(parents=True)
    np.save(folder / "c1.npy", frames())
    return tmp_path


def test_all_frames_as_they_are_in_rgb(root: Path) -> None:
    found = openface_crops(clip(root), "all", 16)
    assert found.flags == ()
    np.testing.assert_array_equal(found.crops, frames()[..., ::-1])


def test_frames_are_spread_over_the_recording(root: Path) -> None:
    brightness = openface_crops(clip(root), 4, 16).crops[:, 0, 0, 2]
    np.testing.assert_array_equal(brightness, [20, 40, 70, 90])  # middles of four parts of ten frames
    repeated = openface_crops(clip(root), 20, 16).crops[:, 0, 0, 2]
    np.testing.assert_array_equal(repeated, np.repeat(np.arange(10, 101, 10), 2))


def test_other_sizes_are_scaled(root: Path) -> None:
    assert openface_crops(clip(root), 2, 32).crops.shape == (2, 32, 32, 3)
    assert openface_crops(clip(root), 2, 24).crops[0, 0, 0].tolist() == [0, 0, 30]


@pytest.mark.parametrize("suffix", [".bmp", ".jpg", ".JPG", ".png"])
@pytest.mark.parametrize("inner", ["", "c1_aligned"])
def test_folders_of_pictures(tmp_path: Path, suffix: str, inner: str) -> None:
    folder = tmp_path / "openface_face" / "c1" / inner
    folder.mkdir(parents=True)
    for number, picture in enumerate(frames(3)):
        assert cv2.imwrite(str(folder / f"frame_det_00_{number:06d}{suffix}"), picture)
    (folder / "notes.txt").write_text("no picture")
    found = openface_crops(clip(tmp_path), "all", 16).crops
    assert found.shape == (3, 16, 16, 3)
    np.testing.assert_allclose(found[:, 8, 8].astype(int), [[0, 0, 10], [0, 0, 20], [0, 0, 30]], atol=3)


@pytest.mark.parametrize(
    "stored",
    [
        np.zeros((3, 16, 16, 3), np.float32),
        np.zeros((16, 16, 3), np.uint8),
        np.zeros((3, 16, 16, 4), np.uint8),
        np.zeros((0, 16, 16, 3), np.uint8),
        np.array([{"a": 1}], dtype=object),
    ],
)
def test_arrays_that_are_no_crops_are_refused(root: Path, stored: np.ndarray) -> None:
    np.save(root / "openface_face" / "c1" / "c1.npy", stored, allow_pickle=True)
    with pytest.raises(MediaError) as raised:
        openface_crops(clip(root), "all", 16)
    assert raised.value.reason == "bad_features"


def test_damaged_files_are_refused(root: Path, tmp_path: Path) -> None:
    path = root / "openface_face" / "c1" / "c1.npy"
    whole = path.read_bytes()
    for broken in (b"", b"nothing", whole[:-100], whole[:40]):
        path.write_bytes(broken)
        with pytest.raises(MediaError, match="expected an npy file of crops"):
            openface_crops(clip(root), "all", 16)
    path.unlink()
    (path.parent / "frame.bmp").write_bytes(b"BM nothing")
    with pytest.raises(MediaError, match="a picture"):
        openface_crops(clip(root), "all", 16)


def test_a_picture_is_refused_for_its_size_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "openface_face" / "c1"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "0.png"), np.zeros((4097, 8, 3), np.uint8))
    decoded: list[object] = []
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded.append(arguments))
    with pytest.raises(MediaError, match="found 8 x 4097"):
        openface_crops(clip(tmp_path), "all", 16)
    assert decoded == []


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"\x80\x04K\x01."])
@pytest.mark.parametrize("name", ["c1.npy", "0.png"])
def test_other_bytes_are_refused(tmp_path: Path, content: bytes, name: str) -> None:
    folder = tmp_path / "openface_face" / "c1"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    with pytest.raises(MediaError) as raised:
        openface_crops(clip(tmp_path), "all", 16)
    assert raised.value.reason == "bad_features"


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("ran"),)


def test_a_pickle_in_an_array_is_refused_and_not_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    np.save(root / "openface_face" / "c1" / "c1.npy", np.array([Payload()], dtype=object), allow_pickle=True)
    with pytest.raises(MediaError) as raised:
        openface_crops(clip(root), "all", 16)
    assert raised.value.reason == "bad_features"
    assert not (root / "ran").exists()


@pytest.mark.parametrize("name", ["..", "", "a/b", "../c1", "a\0b"])
def test_names_stay_in_the_folder(root: Path, name: str) -> None:
    with pytest.raises(MediaError) as raised:
        openface_crops(clip(root, name), "all", 16)
    assert raised.value.reason == "unsafe_name"


def test_crops_are_input_of_trainable_encoders_too(root: Path, tmp_path: Path) -> None:
    preparation = FramePreparation(detector="openface", frames=5, size=32)
    spec = FeatureSpec(modality="visual", source="crops:", frames=preparation)
    found, absent = extract_clips(build_extractor(spec, tmp_path), [clip(root), clip(root, "other")])
    assert found.values.shape == absent.values.shape == (1, 5, 32, 32, 3)
    assert (found.present, absent.present, absent.flags) == (True, False, ("missing_media",))
