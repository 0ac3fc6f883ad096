from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from mer.encoders.visual import FaceEncoder, face_encoder, load_visual
from mer.encoders.weights import resolve_weights
from mer.errors import ConfigError, WeightsError

SMALL: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
PROCESSING = {
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.25, 0.3],
    "size": {"height": 32, "width": 32},
    "crop_size": {"height": 32, "width": 32},
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
}


def crops(frames: int, size: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, size, size, 3), dtype=np.uint8)


def save(model: Any, folder: Path, processor: str) -> str:
    model.save_pretrained(folder)
    text = json.dumps(PROCESSING | {"image_processor_type": processor})
    (folder / "preprocessor_config.json").write_text(text)
    return str(folder)


def test_seed_decides_the_weights_and_nothing_else_does() -> None:
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    one = face_encoder("seed:clip-tiny@5")
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(4)
    again, other = face_encoder("seed:clip-tiny@5"), face_encoder("seed:clip-tiny@6")
    pictures = torch.from_numpy(crops(2))
    with torch.inference_mode():
        for encoder in (one, again, other):
            encoder.eval()
        torch.testing.assert_close(one(pictures), again(pictures), rtol=0, atol=0)
        assert float((one(pictures) - other(pictures)).abs().max()) > 0.01


def test_face_encoder_trains_from_crops() -> None:
    encoder = face_encoder("seed:clip-tiny")
    assert sum(parameter.numel() for parameter in encoder.parameters()) < 1_000_000
    vectors = encoder(torch.from_numpy(crops(3)))
    assert vectors.shape == (3, encoder.output_width) == (3, 96)
    vectors.square().sum().backward()
    gradients = [parameter.grad for parameter in encoder.parameters()]
    assert sum(gradient is not None and bool(gradient.abs().sum() > 0) for gradient in gradients) > 50


def test_frozen_face_encoder(tmp_path: Path) -> None:
    encoder = load_visual(resolve_weights("seed:clip-tiny", tmp_path))
    assert isinstance(encoder, FaceEncoder)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert encoder.output(crops(2, size=112)).shape == (2, 96)  # other sizes are scaled
    first, last = encoder.states(crops(2), (0, 4))
    assert first.shape == last.shape == (2, 96)
    assert not torch.allclose(first, last)
    with pytest.raises(ConfigError, match="clip-tiny"):
        load_visual(resolve_weights("seed:other", tmp_path))


def test_clip_tower_alone_gives_the_same_features(tmp_path: Path) -> None:
    torch.manual_seed(1)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config=text | {"vocab_size": 20}, vision_config=SMALL, projection_dim=10
    )
    both = transformers.CLIPModel(config).eval()
    whole = load_visual(resolve_weights(save(both, tmp_path / "a", "CLIPImageProcessor"), tmp_path / "cache"))
    alone = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**SMALL, projection_dim=10)
    ).eval()
    alone.load_state_dict(
        {name: value for name, value in both.state_dict().items() if name.startswith("vis")}
    )
    tower = load_visual(
        resolve_weights(save(alone, tmp_path / "b", "CLIPImageProcessor"), tmp_path / "cache")
    )
    pictures = crops(3, size=32)
    torch.testing.assert_close(whole.output(pictures), tower.output(pictures))
    normed = (pictures / 255.0 - PROCESSING["image_mean"]) / PROCESSING["image_std"]
    pixels = torch.from_numpy(normed).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        expected = both.get_image_features(pixel_values=pixels).pooler_output
    torch.testing.assert_close(whole.output(pictures), expected, rtol=1e-4, atol=1e-5)
    assert whole.output_width == 10


def test_generic_vision_transformer(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = transformers.ViTModel(transformers.ViTConfig(**SMALL), add_pooling_layer=False).eval()
    encoder = load_visual(
        resolve_weights(save(model, tmp_path / "vit", "ViTImageProcessor"), tmp_path / "cache")
    )
    pictures = crops(2, size=32)
    pixels = torch.from_numpy((pictures / 255.0 - PROCESSING["image_mean"]) / PROCESSING["image_std"])
    with torch.inference_mode():
        whole = model(pixel_values=pixels.permute(0, 3, 1, 2).float(), output_hidden_states=True)
    torch.testing.assert_close(encoder.output(pictures), whole.last_hidden_state[:, 0], rtol=1e-4, atol=1e-5)
    for index, state in zip((1, 3), encoder.states(pictures, (1, 3)), strict=True):
        torch.testing.assert_close(state, whole.hidden_states[index][:, 0], rtol=1e-4, atol=1e-5)


def test_unusable_checkpoints_are_refused(tmp_path: Path) -> None:
    model = transformers.ViTModel(transformers.ViTConfig(**SMALL), add_pooling_layer=False)
    model.save_pretrained(tmp_path / "bare")
    with pytest.raises(WeightsError, match="preprocessor_config"):
        load_visual(resolve_weights(str(tmp_path / "bare"), tmp_path / "cache"))
    resnet = transformers.ResNetModel(
        transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])
    )
    resnet.save_pretrained(tmp_path / "resnet")
    with pytest.raises(ConfigError, match="found 'resnet'"):
        load_visual(resolve_weights(str(tmp_path / "resnet"), tmp_path / "cache"))
