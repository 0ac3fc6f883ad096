from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.clips import Clip
from mer.errors import MediaError, QuarantineReason
from mer.features.extract import build_extractor, extract_clips
from mer.features.precomputed_content import precomputed_contents
from mer.features.spec import FeatureSpec


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "features" / "au"
    folder.mkdir(parents=True)
    for number in range(3):
        np.save(folder / f"clip{number}.npy", np.full(4, number + 1, dtype=np.float32))
    return tmp_path


def clip(root: Path, name: str) -> Clip:
    return Clip(content=name, name=name, path=root / "x.wav", corpus_root=root)


def spec(**changes: Any) -> FeatureSpec:
    return FeatureSpec(modality="visual", source="files:au", **changes)


def put(root: Path, values: Any, name: str = "bad") -> None:
    np.save(root / "features" / "au" / f"{name}.npy", values, allow_pickle=True)


def test_utterance_vectors(root: Path) -> None:
    found = build_extractor(spec(), root).extract(clip(root, "clip2"))
    np.testing.assert_array_equal(found.values, np.full((1, 4), 3.0))
    assert (found.values.dtype, found.present) == (np.float32, True)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("frames", [[1, 2], [3, 6]]), ("mean", [[2, 4]]), ("mean_std", [[2, 4, 1, 2]])],
)
def test_frames_are_pooled(tmp_path: Path, pooling: str, expected: list[list[float]]) -> None:
    (tmp_path / "features" / "au").mkdir(parents=True)
    put(tmp_path, np.array([[1, 2], [3, 6]], dtype=np.float16), "fra")
    extractor = build_extractor(spec(pooling=pooling), tmp_path)
    np.testing.assert_allclose(extractor.extract(clip(tmp_path, "fra")).values, expected)
    assert extractor.extract(clip(tmp_path, "none")).values.shape == (1, len(expected[0]))


def test_absent_file_is_a_masked_clip(root: Path) -> None:
    found = build_extractor(spec(), root).extract(clip(root, "clip9"))
    assert (found.present, found.flags, found.values.shape) == (False, ("no_feature_file",), (1, 4))
    nowhere = build_extractor(FeatureSpec(modality="visual", source="files:none"), root)
    assert not nowhere.extract(clip(root, "clip1")).present


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("/tmp/mer-npy-ran-code").touch, ())


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.arange(4), "int64"),
        (np.array(["a", "b", "c", "d"]), "<U1"),
        (np.array([1.0, np.nan, 0.0, 0.0], dtype=np.float32), "NaN"),
        (np.array([1e300, 0.0, 0.0, 0.0]), "infinity"),
        (np.zeros(5, dtype=np.float32), "5"),
        (np.zeros((2, 2, 4), dtype=np.float32), r"\(2, 2, 4\)"),
        (np.float32(1.0), r"\(\)"),
        (np.array([Bomb()], dtype=object), "object"),
    ],
)
def test_bad_files_are_refused_one_by_one(root: Path, values: Any, found: str) -> None:
    put(root, values)
    extractor = build_extractor(spec(), root)
    with pytest.raises(MediaError, match=found) as caught:
        extractor.extract(clip(root, "bad"))
    assert caught.value.reason is QuarantineReason.BAD_FEATURES
    assert not Path("/tmp/mer-npy-ran-code").exists()
    rows = extract_clips(extractor, [clip(root, "clip1"), clip(root, "bad"), clip(root, "clip2")])
    assert [row.present for row in rows] == [True, False, True]
    assert rows[1].flags == ("bad_features",)
    assert rows[1].values.shape == (1, 4)


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"PK\x03\x04 an archive", b"\x80\x04K\x01."])
def test_other_bytes_are_refused(root: Path, data: bytes) -> None:
    (root / "features" / "au" / "bad.npy").write_bytes(data)
    with pytest.raises(MediaError):
        build_extractor(spec(), root).extract(clip(root, "bad"))


def test_header_that_promises_more_than_there_is(root: Path) -> None:
    path = root / "features" / "au" / "bad.npy"
    np.save(path, np.zeros(4, dtype=np.float32))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(4,), }" + b" " * 11, b"(100000000000,), }"))
    assert path.read_bytes() != data
    with pytest.raises(MediaError, match="400000000000 bytes"):
        build_extractor(spec(), root).extract(clip(root, "bad"))


def test_column_order_is_honoured(root: Path) -> None:
    frames = np.arange(12, dtype=np.float32).reshape(3, 4)
    put(root, np.asfortranarray(frames), "columns")
    put(root, frames.astype(">f8"), "big")
    extractor = build_extractor(spec(pooling="frames"), root)
    for name in ("columns", "big"):
        np.testing.assert_array_equal(extractor.extract(clip(root, name)).values, frames)


def test_a_batch_axis_is_dropped(root: Path) -> None:
    put(root, np.ones((1, 3, 4), dtype=np.float32), "batched")
    put(root, np.ones((1, 1, 4), dtype=np.float32), "both")
    extractor = build_extractor(spec(pooling="frames"), root)
    assert extractor.extract(clip(root, "batched")).values.shape == (3, 4)
    assert extractor.extract(clip(root, "both")).values.shape == (1, 4)


def test_a_folder_of_faces_is_one_clip_in_the_order_of_the_names(tmp_path: Path) -> None:
    faces = tmp_path / "features" / "au" / "fra"
    faces.mkdir(parents=True)
    for name, values in (("0010", [3.0, 3.0]), ("0002", [1.0, 1.0])):
        np.save(faces / f"{name}.npy", np.array(values, dtype=np.float32))
    extractor = build_extractor(spec(pooling="frames"), tmp_path)
    np.testing.assert_array_equal(extractor.extract(clip(tmp_path, "fra")).values, [[1, 1], [3, 3]])
    assert extractor.extract(clip(tmp_path, "absent")).values.shape == (1, 2)
    np.save(faces / "0003.npy", np.ones(5, dtype=np.float32))
    with pytest.raises(MediaError, match="faces of one width, found 2, 5"):
        extractor.extract(clip(tmp_path, "fra"))


def test_a_clips_content_is_that_of_its_own_files(root: Path) -> None:
    names = ["clip0", "clip1", "absent", "../x"]
    first = precomputed_contents(root, "files:au", names)
    assert first[2:] == [None, None] and len({*first[:2]}) == 2
    put(root, np.full(4, 2, dtype=np.float32), "clip0")
    changed = precomputed_contents(root, "files:au", names)
    assert changed[0] == first[1] != first[0], "the bytes say it, not the name or the time"
    (root / "features" / "au" / "faces").mkdir()
    put(root, np.ones(4, dtype=np.float32), "faces/1")
    one = precomputed_contents(root, "files:au", ["faces"])
    put(root, np.ones(4, dtype=np.float32), "faces/2")
    assert precomputed_contents(root, "files:au", ["faces"]) != one != [None]


def test_archive_named_npy_is_refused(root: Path) -> None:
    with (root / "features" / "au" / "bad.npy").open("wb") as stream:
        np.savez(stream, a=np.zeros(4))
    with pytest.raises(MediaError, match="magic string"):
        build_extractor(spec(), root).extract(clip(root, "bad"))


@pytest.mark.parametrize("name", ["../au/clip1", "/etc/passwd", "a/b", "..", "", "x\0y"])
def test_names_stay_in_their_folder(root: Path, name: str) -> None:
    with pytest.raises(MediaError) as caught:
        build_extractor(spec(), root).extract(clip(root, name))
    assert caught.value.reason is QuarantineReason.UNSAFE_NAME


def test_ravdess_action_units(shared_data: Path) -> None:
    root = shared_data / "data" / "ravdess"
    extractor = build_extractor(FeatureSpec(modality="visual", source="files:openface-au-UTT"), root)
    found = extractor.extract(clip(root, "03-01-05-01-02-01-01"))
    assert found.present
    assert found.values.shape == (1, 35)
