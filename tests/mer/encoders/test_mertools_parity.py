"""Our features are those of zeroQiaoba/MERTools: files it wrote (transformers 4.57) against ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.clips import Clip
from mer.encoders.placement import Precision
from mer.features.extract import build_extractor, build_extractors
from mer.features.spec import AudioPreparation, FeatureSpec, FramePreparation

AS_IS = AudioPreparation(trim_silence=False, peak_normalise=False)


@pytest.fixture
def parity(shared_data: Path) -> Path:
    return shared_data / "data" / "mertools-parity"


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(("pooling", "suffix"), [("mean", "UTT"), ("frames", "FRA")])
def test_hubert_sum_of_last_four_hidden_states(
    parity: Path, tmp_path: Path, pooling: str, suffix: str
) -> None:
    spec = FeatureSpec(
        modality="acoustic",
        source=str(parity / "models" / "hubert-tiny-random"),
        layers=(-4, -3, -2, -1),
        reduce_layers="sum",
        pooling=pooling,
        audio=AS_IS,
    )
    extractor = build_extractor(spec, tmp_path)
    recordings = sorted((parity / "audio").glob("*.wav"))
    assert len(recordings) == 3
    for path in recordings:
        clip = Clip(content=path.stem, name=path.stem, path=path, corpus_root=parity)
        expected = np.load(parity / "features" / f"hubert-tiny-random-{suffix}" / f"{path.stem}.npy")
        assert relative_error(extractor.extract(clip).values, np.atleast_2d(expected)) < 1e-4


@pytest.mark.parametrize(("pooling", "suffix"), [("mean", "UTT"), ("frames", "FRA")])
def test_clip_projected_image_features(parity: Path, tmp_path: Path, pooling: str, suffix: str) -> None:
    spec = FeatureSpec(
        modality="visual",
        source=str(parity / "models" / "clip-tiny-random"),
        pooling=pooling,
        frames=FramePreparation(detector="openface", frames="all", size=112),
    )
    extractor = build_extractor(spec, tmp_path)
    for name in ("face_0", "face_1"):
        clip = Clip(content=name, name=name, path=parity / "no_video.mp4", corpus_root=parity)
        expected = np.load(parity / "features" / f"clip-tiny-random-{suffix}" / f"{name}.npy")
        assert relative_error(extractor.extract(clip).values, np.atleast_2d(expected)) < 1e-4


def test_one_pass_gives_utt_and_fra(parity: Path, tmp_path: Path) -> None:
    utt = FeatureSpec(
        modality="acoustic",
        source=str(parity / "models" / "hubert-tiny-random"),
        layers=(-4, -3, -2, -1),
        reduce_layers="sum",
        pooling="mean",
        audio=AS_IS,
    )
    extractor = build_extractors((utt, utt.model_copy(update={"pooling": "frames"})), tmp_path)
    assert len(extractor.readers) == 1
    for path in sorted((parity / "audio").glob("*.wav")):
        clip = Clip(content=path.stem, name=path.stem, path=path, corpus_root=parity)
        for found, suffix in zip(extractor.extract(clip), ("UTT", "FRA"), strict=True):
            expected = np.load(parity / "features" / f"hubert-tiny-random-{suffix}" / f"{path.stem}.npy")
            assert relative_error(found.values, np.atleast_2d(expected)) < 1e-4


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("modality", ["acoustic", "visual"])
def test_fewer_bits_point_the_same_way(
    parity: Path, tmp_path: Path, modality: str, precision: Precision
) -> None:
    values: dict[str, Any] = {
        "acoustic": {
            "source": str(parity / "models" / "hubert-tiny-random"),
            "layers": (-4, -3, -2, -1),
            "reduce_layers": "sum",
            "audio": AS_IS,
        },
        "visual": {
            "source": str(parity / "models" / "clip-tiny-random"),
            "frames": FramePreparation(detector="openface", frames="all", size=112),
        },
    }[modality]
    model = Path(values["source"]).name
    names = [path.stem for path in sorted((parity / "features" / f"{model}-UTT").glob("*.npy"))]
    for pooling, suffix in (("mean", "UTT"), ("frames", "FRA")):
        spec = FeatureSpec(modality=modality, precision=precision, pooling=pooling, **values)  # type: ignore[arg-type]
        # bf16 that is wrong on this processor (oneDNN's AMX kernels gave cosine .964 here) is computed in fp32
        extractor = build_extractors((spec,), tmp_path)
        assert extractor.arithmetic(0)["arithmetic"] in (precision, "fp32")
        for name in names:
            clip = Clip(content=name, name=name, path=parity / "audio" / f"{name}.wav", corpus_root=parity)
            expected = np.atleast_2d(np.load(parity / "features" / f"{model}-{suffix}" / f"{name}.npy"))
            found = extractor.extract(clip)[0].values
            cosine = (found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected)
            assert cosine >= 0.999
