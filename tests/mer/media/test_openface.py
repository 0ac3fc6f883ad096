from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mer.errors import MediaError, QuarantineReason
from mer.media.openface import openface_crops


def blue_green_red(count: int, side: int = 112) -> np.ndarray:
    """BGR crops; frame n has blue 200, green 10 n, red 0."""
    crops = np.zeros((count, side, side, 3), np.uint8)
    crops[..., 0] = 200
    crops[..., 1] = (10 * np.arange(count, dtype=np.uint8))[:, None, None]
    return crops


def put(root: Path, name: str) -> Path:
    folder = root / "openface_face" / name
    folder.mkdir(parents=True)
    return folder


def test_an_array_is_sampled_in_red_green_blue(tmp_path: Path) -> None:
    np.save(put(tmp_path, "clip1") / "clip1.npy", blue_green_red(20))
    crops = openface_crops(tmp_path, "clip1", 4, 64)
    assert crops is not None
    assert (crops.shape, crops.dtype) == ((4, 64, 64, 3), np.uint8)
    assert [crop[0, 0].tolist() for crop in crops] == [[0, 10 * n, 200] for n in (2, 7, 12, 17)]


@pytest.mark.parametrize("suffix", ["bmp", "png", "jpg"])
def test_older_folders_hold_one_picture_a_frame(tmp_path: Path, suffix: str) -> None:
    folder = put(tmp_path, "clip1")
    for number, crop in enumerate(blue_green_red(4)):
        cv2.imwrite(str(folder / f"frame_det_00_{number:06d}.{suffix}"), crop)
    crops = openface_crops(tmp_path, "clip1", 4, 112)
    assert crops is not None
    for number, crop in enumerate(crops):
        assert np.abs(crop.astype(int) - [0, 10 * number, 200]).max() < 6


def test_few_frames_are_repeated(tmp_path: Path) -> None:
    np.save(put(tmp_path, "clip1") / "clip1.npy", blue_green_red(2))
    crops = openface_crops(tmp_path, "clip1", 4, 16)
    assert crops is not None
    assert crops[:, 0, 0, 1].tolist() == [0, 0, 10, 10]


def test_a_clip_without_crops_has_none(tmp_path: Path) -> None:
    assert openface_crops(tmp_path, "clip1", 4, 16) is None
    put(tmp_path, "clip1")
    assert openface_crops(tmp_path, "clip1", 4, 16) is None


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((3, 8, 8, 3), np.float32),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((1, 2000, 8, 3), np.uint8),
        np.array([Payload()], dtype=object),
    ],
    ids=["floats", "grey", "no frame", "too large", "pickle"],
)
def test_other_arrays_are_refused(
    tmp_path: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(put(tmp_path, "clip1") / "clip1.npy", values, allow_pickle=True)
    with pytest.raises(MediaError) as caught:
        openface_crops(tmp_path, "clip1", 4, 16)
    assert caught.value.reason is QuarantineReason.BAD_FEATURES
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"\x80\x04K\x01."])
@pytest.mark.parametrize("name", ["clip1.npy", "0.png"])
def test_other_bytes_are_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (put(tmp_path, "clip1") / name).write_bytes(content)
    with pytest.raises(MediaError) as caught:
        openface_crops(tmp_path, "clip1", 4, 16)
    assert caught.value.reason is QuarantineReason.BAD_FEATURES


def test_a_picture_is_refused_for_its_size_before_it_is_decoded(tmp_path: Path) -> None:
    cv2.imwrite(str(put(tmp_path, "clip1") / "0.png"), np.zeros((1025, 8, 3), np.uint8))
    with pytest.raises(MediaError, match="8 x 1025"):
        openface_crops(tmp_path, "clip1", 4, 16)


@pytest.mark.parametrize("name", ["..", ".", "", "../other", "a/b", "/etc"])
def test_names_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(MediaError) as caught:
        openface_crops(tmp_path, name, 4, 16)
    assert caught.value.reason is QuarantineReason.UNSAFE_NAME
