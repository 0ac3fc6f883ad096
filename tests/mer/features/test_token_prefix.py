"""The prefix of pictures and texts: every token, from which the layers of the encoder can be gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from mer.clips import Clip
from mer.encoders.picture_layers import PictureLayers
from mer.encoders.text_layers import TextLayers
from mer.encoders.visual import load_visual
from mer.encoders.weights import resolve_weights
from mer.errors import ConfigError
from mer.features.clip_media import FaceCrops
from mer.features.extract import build_extractor
from mer.features.faces import FaceReader
from mer.features.layered import load_layers
from mer.features.spec import FeatureSpec, FramePreparation

TEXT = FeatureSpec(modality="lexical", source="wheel:all-minilm-l6-v2")
FACES = FeatureSpec(modality="visual", source="seed:clip-tiny", frames=FramePreparation(frames=70))
TOKENS = 17
"""Of a picture: 4 x 4 patches and the class token."""


def clip(folder: Path, transcript: str) -> Clip:
    return Clip(
        content="clip", name="clip", path=folder / "clip.wav", corpus_root=folder, transcript=transcript
    )


def gone_on(layers: Any, prefix: NDArray[np.float32], start: int) -> tuple[Tensor, Tensor]:
    """Last state, and which of its tokens count."""
    hidden = torch.from_numpy(prefix[:, 0])[None]
    mask = torch.ones(hidden.shape[:2], dtype=torch.bool)
    with torch.inference_mode():
        return layers.run_layers(hidden, mask, start, layers.layer_count)[-1], layers.counted(mask)


@pytest.mark.parametrize("prompt", [None, 'She said: "{text}" and felt'])
def test_a_real_text_encoder_gone_on_with_gives_its_feature(
    prompt: str | None, weights_cache: Path, tmp_path: Path
) -> None:
    """MiniLM's own weights: prefix, block and the tokens that count against the feature out of one pass."""
    spec = TEXT.model_copy(update={"prompt": prompt})
    told = clip(tmp_path, "I cannot believe that you really came!")
    wanted = build_extractor(spec, weights_cache, device="cpu").extract(told).values[0]
    layers = load_layers(spec, resolve_weights(spec.source, weights_cache))
    assert isinstance(layers, TextLayers)
    for start in (0, 3, 5):
        prefix = build_extractor(spec.prefix(start), weights_cache, device="cpu").extract(told).values
        last, counted = gone_on(layers, prefix, start)
        assert int(counted.sum()) < prefix.shape[0], "special tokens are kept, and do not count"
        np.testing.assert_allclose(last[counted].mean(dim=0), wanted, atol=1e-5)


def test_pictures_in_several_pieces(weights_cache: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (70, 64, 64, 3), dtype=np.uint8)
    resolved = resolve_weights(FACES.source, weights_cache)
    reader = FaceReader([FACES.prefix(2)], resolved)
    pieces = reader.prepare(_Media(crops))  # type: ignore[arg-type]
    assert len(pieces.items) == 3, "a clip of 70 pictures is read in pieces"
    values = reader.finish([pieces])[0][0].values
    assert values.shape == (70 * TOKENS, 1, 96)
    layers = load_layers(FACES, resolved)
    assert isinstance(layers, PictureLayers) and layers.tokens == TOKENS
    last, counted = gone_on(layers, values, 2)
    assert int(counted.sum()) == 70
    np.testing.assert_allclose(last[counted], load_visual(resolved).output(crops), atol=1e-5)


class _Media:
    """Face crops without a video around them."""

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        self._crops = crops

    def faces(self, _: FramePreparation) -> FaceCrops:
        return FaceCrops(self._crops, ())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"modality": "acoustic", "source": "wheel:moonshine-tiny", "tokens": "last"},
            "expected one of class",
        ),
        (
            {"modality": "visual", "source": "seed:clip-tiny", "tokens": "last"},
            "expected one of class, patches",
        ),
        ({"modality": "lexical", "source": "x", "tokens": "patches"}, "expected one of class, last"),
        ({"modality": "lexical", "source": "x", "tokens": "all"}, "pooling `frames`"),
        ({"modality": "lexical", "source": "x", "prompt": "no place"}, "{text}"),
        ({"modality": "visual", "source": "seed:clip-tiny", "prompt": "{text}"}, "only text"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FeatureSpec.model_validate(values)


def test_video_encoders_have_no_tokens_to_go_on_from(tmp_path: Path) -> None:
    import transformers

    config = transformers.VideoMAEConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32,
        patch_size=16, num_frames=4,
    )  # fmt: skip
    transformers.VideoMAEModel(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "VideoMAEImageProcessor"}')
    spec = FeatureSpec(modality="visual", source=str(tmp_path))
    with pytest.raises(ConfigError, match="single pictures"):
        build_extractor(spec.prefix(1), tmp_path, device="cpu")
