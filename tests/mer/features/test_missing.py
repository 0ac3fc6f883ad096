"""Empty and all-zero precomputed features, and texts without words, are missing: masked, flagged, counted."""

from __future__ import annotations

import pickle  # noqa: TID251
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.clips import Clip
from mer.features.extract import build_extractor, extract_clips
from mer.features.missing import EMPTY, missing_counts
from mer.features.spec import FeatureSpec

FORMS = ("vector", "frames", "batched", "faces", "pickle")
POOLINGS = ("frames", "mean", "mean_std", "statistics")


def write(root: Path, form: str, contents: dict[str, np.ndarray]) -> str:
    """Write frames (T, 4) of clips in one of the forms; returns the source that reads them."""
    if form == "pickle":
        longest = max(1, *(len(one) for one in contents.values()))
        padded = [np.pad(one, ((0, longest - len(one)), (0, 0))) for one in contents.values()]
        held = {
            "id": [f"{name}$_$1" for name in contents],
            "raw_text": ["x"] * len(contents),
            "text": np.stack(padded).astype(np.float32),
            "text_lengths": [len(one) for one in contents.values()],
            "regression_labels": np.zeros(len(contents)),
            "annotations": ["Neutral"] * len(contents),
        }
        (root / "set.pkl").write_bytes(pickle.dumps({"train": held}))
        return "files:set-text"
    folder = root / "features" / "set"
    folder.mkdir(parents=True, exist_ok=True)
    for name, frames in contents.items():
        if form == "faces":
            (folder / f"{name}_1").mkdir()
            for number, frame in enumerate(frames):
                np.save(folder / f"{name}_1" / f"{number:03d}.npy", frame)
            if not len(frames):
                np.save(folder / f"{name}_1" / "000.npy", np.zeros((0, 4), np.float32))
            continue
        values: Any = frames[None] if form == "batched" else frames
        if form == "vector":
            values = frames.mean(axis=0) if len(frames) else np.zeros(0, np.float32)
        np.save(folder / f"{name}_1.npy", values)
    return "files:set"


def clip(root: Path, name: str, transcript: str | None = None) -> Clip:
    return Clip(content=name, name=name, path=root / "x.wav", corpus_root=root, transcript=transcript)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "nothing",
    [
        np.zeros((1, 4), np.float32),
        np.zeros((3, 4), np.float32),
        -np.zeros((2, 4), np.float32),
        np.zeros((0, 4), np.float32),
    ],
    ids=["zero vector", "zero frames", "minus zero", "no frames"],
)
def test_nothing_in_a_file_is_missing(tmp_path: Path, form: str, nothing: np.ndarray, pooling: str) -> None:
    some = np.array([[0, 0, 0, 0], [1, 0, 0, 2]], np.float32)
    source = write(tmp_path, form, {"a": some, "b": nothing, "c": some + 1})
    extractor = build_extractor(FeatureSpec(modality="lexical", source=source, pooling=pooling), tmp_path)
    found = extract_clips(extractor, [clip(tmp_path, name) for name in ("b_1", "a_1", "c_1")])
    assert [one.present for one in found] == [False, True, True]
    assert not found[0].values.any() and found[0].values.shape[1:] == found[1].values.shape[1:]
    no_row = form == "pickle" and not len(nothing)  # a pickle that says length 0 holds nothing of the clip
    assert found[0].flags == (("no_feature_file",) if no_row else (EMPTY,))


def test_the_width_of_a_set_is_not_that_of_its_empty_files(tmp_path: Path) -> None:
    contents = {f"e{i}": np.zeros((0, 4), np.float32) for i in range(40)} | {"z": np.ones((1, 4), np.float32)}
    source = write(tmp_path, "vector", contents)
    extractor = build_extractor(FeatureSpec(modality="lexical", source=source), tmp_path)
    found = extract_clips(extractor, [clip(tmp_path, "e1_1"), clip(tmp_path, "z_1")])
    assert [one.present for one in found] == [False, True]


@pytest.mark.parametrize("text", ["", " \n", "...", "?!", "。……", "—", "(  )"])
def test_a_text_without_words_is_missing(tmp_path: Path, text: str) -> None:
    spec = FeatureSpec(modality="lexical", source="wheel:all-minilm-l6-v2", pooling="mean")
    extractor = build_extractor(spec, tmp_path)
    (found,) = extract_clips(extractor, [clip(tmp_path, "a", text)])
    assert (found.present, found.flags) == (False, ("no_transcript",))


@pytest.mark.parametrize("text", ["no", "好。", "7", "й", "😀", "é!"])
def test_a_text_of_one_word_number_or_picture_is_there(tmp_path: Path, text: str) -> None:
    spec = FeatureSpec(modality="lexical", source="wheel:all-minilm-l6-v2", pooling="mean")
    (found,) = extract_clips(build_extractor(spec, tmp_path), [clip(tmp_path, "a", text)])
    assert found.present


def test_missing_clips_are_counted_by_reason() -> None:
    flags = [(), (EMPTY,), (EMPTY, "cut"), ("no_transcript",), ("cut",)]
    present = [True, False, False, False, True]
    expected = "3 of 5 clips are missing and masked (empty_features 2, no_transcript 1)"
    assert missing_counts(present, flags) == expected
    assert missing_counts(present[:1], flags[:1]) is None
