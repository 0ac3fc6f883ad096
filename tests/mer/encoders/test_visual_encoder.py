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


def normed(pictures: np.ndarray) -> torch.Tensor:
    """(frames, 3, side, side), as the processors above give it."""
    values = (pictures / 255.0 - PROCESSING["image_mean"]) / PROCESSING["image_std"]
    return torch.from_numpy(values).permute(0, 3, 1, 2).float()


def dinov2() -> Any:
    options = {key: value for key, value in SMALL.items() if key != "intermediate_size"}
    return transformers.Dinov2Model(transformers.Dinov2Config(**options, mlp_ratio=2))


PICTURE_MODELS: dict[str, tuple[Any, str, int]] = {
    "dinov2": (dinov2, "BitImageProcessor", 1),
    "vit": (lambda: transformers.ViTModel(transformers.ViTConfig(**SMALL)), "ViTImageProcessor", 1),
    "deit": (lambda: transformers.DeiTModel(transformers.DeiTConfig(**SMALL)), "ViTImageProcessor", 2),
    "beit": (lambda: transformers.BeitModel(transformers.BeitConfig(**SMALL)), "ViTImageProcessor", 1),
    "data2vec-vision": (
        lambda: transformers.Data2VecVisionModel(transformers.Data2VecVisionConfig(**SMALL)),
        "ViTImageProcessor",
        1,
    ),
    "siglip": (
        lambda: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**SMALL)),
        "SiglipImageProcessor",
        0,
    ),
}


@pytest.mark.parametrize("name", list(PICTURE_MODELS))
def test_tokens_of_every_picture_encoder(name: str, tmp_path: Path) -> None:
    """Class token, mean of patches and sum, of hidden states and of the output, in one pass."""
    make, processor, leading = PICTURE_MODELS[name]
    torch.manual_seed(1)
    model = make().eval()
    encoder = load_visual(resolve_weights(save(model, tmp_path / name, processor), tmp_path / "cache"))
    pictures = crops(3, size=32)
    with torch.inference_mode():
        whole = model(pixel_values=normed(pictures), output_hidden_states=True)
    first = {"class": 0, "patches": leading}
    for tokens in ("class", "patches", "sum"):
        found, output = encoder.read(pictures, (0, 2), output=True, tokens=tokens)  # type: ignore[arg-type]
        assert output is not None
        last = whole.pooler_output if not leading else None
        for state, expected in (
            (found[0], whole.hidden_states[0]),
            (found[2], whole.hidden_states[2]),
            (output, whole.last_hidden_state),
        ):
            if state is output and last is not None:
                expected = last  # SigLIP's own pooling
            elif tokens == "sum":
                expected = expected.sum(dim=1)
            elif tokens == "class" and leading:
                expected = expected[:, first[tokens]]
            else:
                expected = expected[:, leading:].mean(dim=1)
            torch.testing.assert_close(state, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def videomae(tmp_path: Path) -> tuple[Any, Any]:
    torch.manual_seed(1)
    config = transformers.VideoMAEConfig(**SMALL, num_frames=16, tubelet_size=2, use_mean_pooling=False)
    model = transformers.VideoMAEModel(config).eval()
    folder = save(model, tmp_path / "videomae", "VideoMAEImageProcessor")
    return model, load_visual(resolve_weights(folder, tmp_path / "cache"))


def test_videomae_reads_windows_of_sixteen_frames(videomae: tuple[Any, Any]) -> None:
    model, encoder = videomae
    pictures = crops(32, size=32)
    pixels = normed(pictures).reshape(2, 16, 3, 32, 32)
    with torch.inference_mode():
        whole = model(pixel_values=pixels, output_hidden_states=True)
    assert [len(piece) for piece in encoder.pieces(pictures)] == [16, 16]
    found, output = encoder.read(pictures, (1,), output=True)
    assert output.shape == (16, 24)  # two windows of eight tubelets
    assert encoder.rows(32) == 16
    patches = whole.last_hidden_state.reshape(16, 4, 24)  # 2 x 2 patches a tubelet
    torch.testing.assert_close(output, patches.mean(dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        found[1], whole.hidden_states[1].reshape(16, 4, 24).mean(dim=1), rtol=1e-4, atol=1e-5
    )


def test_videomae_spreads_other_numbers_of_frames_over_whole_windows(videomae: tuple[Any, Any]) -> None:
    encoder = videomae[1]
    pictures = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), dtype=np.uint8)
    first, second = encoder.pieces(pictures)
    shown = np.concatenate([first, second])[:, 0, 0, 0]
    assert sorted(set(shown.tolist())) == list(range(20))  # every frame, some twice, in order
    assert (np.diff(shown.astype(int)) >= 0).all()
    assert encoder.output(crops(8, size=32)).shape == (8, 24)


def test_layers_above_the_last_wanted_one_never_run(tmp_path: Path) -> None:
    model = transformers.ViTModel(transformers.ViTConfig(**SMALL), add_pooling_layer=False)
    encoder: Any = load_visual(
        resolve_weights(save(model, tmp_path / "vit", "ViTImageProcessor"), tmp_path / "cache")
    )
    calls: list[int] = []
    for number, layer in enumerate(encoder.module.layers):
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    encoder.states(crops(2, size=32), (0, 2))
    assert calls == [0, 1]
    calls.clear()
    encoder.read(crops(2, size=32), (1,), output=True)  # states and output: one pass
    assert calls == [0, 1, 2]


def test_attention_is_scaled_dot_product(tmp_path: Path) -> None:
    model = transformers.ViTModel(transformers.ViTConfig(**SMALL), add_pooling_layer=False)
    encoder: Any = load_visual(
        resolve_weights(save(model, tmp_path / "vit", "ViTImageProcessor"), tmp_path / "cache")
    )
    assert encoder.module.config._attn_implementation == "sdpa"
